package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// colour is an ANSI colour (ECMA-48 SGR); plain is none.
type colour string

const (
	plain  colour = ""
	green  colour = "32"
	yellow colour = "33"
	red    colour = "31"
	bold   colour = "1"
	faint  colour = "2"
)

// cell is a piece of text in a table.
type cell struct {
	text   string
	colour colour
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.out, format, args...) }

// isTerminal reports whether a writer is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// coloured reports whether to use colours on a writer (https://no-color.org).
func coloured(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// paint puts a colour around text that goes to a writer.
func paint(w io.Writer, c colour, text string) string {
	if c == plain || !coloured(w) {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// table prints rows in columns under a header.
func (a *app) table(header []string, rows [][]cell) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(oneLine(c.text)))
		}
	}
	head := make([]cell, len(header))
	for i, h := range header {
		head[i] = cell{h, bold}
	}
	for _, row := range append([][]cell{head}, rows...) {
		var b strings.Builder
		for i, c := range row {
			text := oneLine(c.text)
			b.WriteString(paint(a.out, c.colour, text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+2))
			}
		}
		a.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}

// fact is a name and a value.
type fact struct {
	name   string
	text   string
	colour colour
}

// pairs makes facts of names and values in turn.
func pairs(texts ...string) []fact {
	var list []fact
	for i := 0; i+1 < len(texts); i += 2 {
		list = append(list, fact{name: texts[i], text: texts[i+1]})
	}
	return list
}

// facts prints facts, one to a line; those without a value are left out.
func (a *app) facts(list []fact) {
	width := 0
	for _, f := range list {
		if f.text != "" {
			width = max(width, utf8.RuneCountInString(f.name))
		}
	}
	for _, f := range list {
		if f.text != "" {
			a.printf("%-*s  %s\n", width+1, f.name+":", paint(a.out, f.colour, safe(f.text)))
		}
	}
}

// oneLine makes text fit for a table.
func oneLine(s string) string { return safe(strings.Join(strings.Fields(s), " ")) }

// safe takes out of text what a terminal would act on: text comes from CAs, commands and files.
func safe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, s)
}

// when writes a moment for people: the local time and how far away it is.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s (%s)", t.Local().Format("2006-01-02 15:04:05"), relative(time.Until(t)))
}

// relative writes a distance in time.
func relative(d time.Duration) string {
	if d < 0 {
		return distance(-d) + " ago"
	}
	return "in " + distance(d)
}

func distance(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
