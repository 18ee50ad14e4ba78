package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/certbridge/certbridged/internal/config"
)

// newLogger writes text for a person on a terminal, JSON otherwise, or what the configuration says.
func newLogger(w io.Writer, format config.LogFormat, level slog.Level) *slog.Logger {
	if format == config.LogJSON || format == config.LogAuto && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(&lineHandler{w: w, mu: &sync.Mutex{}, level: level})
}

// What a line is about stands in front of its message; the word for the event is for programs only.
const (
	subjectFact = "certificate"
	eventFact   = "event"
)

// lineHandler writes a record as one line for people: time, what it is about, level where it is not info, message, facts.
type lineHandler struct {
	w      io.Writer
	mu     *sync.Mutex
	level  slog.Level
	facts  string // of With, already written
	prefix string // of WithGroup, with a dot at its end
}

// Enabled reports whether records of a level are written.
func (h *lineHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

// Handle writes a record.
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(paint(h.w, faint, r.Time.Local().Format("15:04:05")))
	b.WriteByte(' ')
	text := oneLine(r.Message)
	switch {
	case r.Level >= slog.LevelError:
		text = paint(h.w, red, "error: "+text)
	case r.Level >= slog.LevelWarn:
		text = paint(h.w, yellow, "warning: "+text)
	case r.Level < slog.LevelInfo:
		text = paint(h.w, faint, "debug: "+text)
	}
	var facts strings.Builder
	facts.WriteString(h.facts)
	r.Attrs(func(attr slog.Attr) bool {
		switch attr.Key {
		case subjectFact:
			text = oneLine(attr.Value.String()) + ": " + text
		case eventFact:
		default:
			writeFact(&facts, h.prefix, attr)
		}
		return true
	})
	b.WriteString(text)
	b.WriteString(paint(h.w, faint, facts.String()))
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

// WithAttrs returns a handler that adds facts to each record.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.facts)
	for _, attr := range attrs {
		writeFact(&b, h.prefix, attr)
	}
	next := *h
	next.facts = b.String()
	return &next
}

// WithGroup returns a handler that puts a name before the names of facts.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	next := *h
	if name != "" {
		next.prefix += name + "."
	}
	return &next
}

// writeFact writes " name=value", with quotes where the value has spaces.
func writeFact(b *strings.Builder, prefix string, attr slog.Attr) {
	value := attr.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if attr.Key != "" {
			prefix += attr.Key + "."
		}
		for _, inner := range value.Group() {
			writeFact(b, prefix, inner)
		}
		return
	}
	if attr.Equal(slog.Attr{}) {
		return
	}
	text := oneLine(value.String())
	if text == "" || strings.ContainsAny(text, " \"=") {
		text = `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
	}
	b.WriteString(" " + prefix + attr.Key + "=" + text)
}
