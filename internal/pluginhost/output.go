package pluginhost

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// What a plugin may write to the log.
const (
	maxLine       = 4 << 10  // bytes of one line that are logged
	maxRaw        = 64 << 10 // bytes of one line that are kept while its end is awaited
	linesPerBurst = 200      // lines logged per burstPeriod; what is more is counted
	burstPeriod   = 10 * time.Second
)

// output takes what a plugin writes to its standard streams to the log: bounded in length and rate, without secrets.
// It is safe for concurrent use by several lineWriters.
type output struct {
	log  *slog.Logger
	mask *masker

	mu      sync.Mutex
	start   time.Time // of the burst period
	lines   int
	dropped int
	last    string
	panic   string // the line that tells of it: what follows is a long trace
}

// lastWords returns the line that tells most about a crash, without secrets: that of a panic, or the last one.
func (o *output) lastWords() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.panic != "" {
		return o.panic
	}
	return o.last
}

// line logs one line. More says that the line went on and the rest is lost.
func (o *output) line(stream string, raw []byte, more bool) {
	text := o.text(raw, more)
	if text == "" {
		return
	}
	said, structured := o.logRecord(text)
	dropped, ok := o.admit(time.Now(), said.text)
	if dropped > 0 {
		o.log.Warn("plugin output dropped", "lines", dropped)
	}
	switch {
	case !ok:
	case structured:
		o.log.LogAttrs(context.Background(), said.level, "plugin log", slog.String("says", said.text), slog.Attr{Key: "with", Value: slog.GroupValue(said.attrs...)})
	default:
		o.log.Log(context.Background(), slog.LevelInfo, "plugin output", "stream", stream, "line", text)
	}
}

func (o *output) text(raw []byte, more bool) string {
	s := strings.ToValidUTF8(strings.TrimRight(string(raw), "\r\n"), "\uFFFD")
	if more {
		s = o.mask.cut(s)
	} else {
		s = o.mask.text(s)
	}
	return clip(s, maxLine)
}

// clip bounds a text.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// admit counts a line against the rate. It returns whether the line may be logged and how many lines before it were
// dropped and not yet told of.
func (o *output) admit(now time.Time, text string) (dropped int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = clip(text, 300)
	if strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ") {
		o.panic = o.last
	}
	if now.Sub(o.start) >= burstPeriod {
		dropped, o.dropped = o.dropped, 0
		o.start, o.lines = now, 0
	}
	if o.lines >= linesPerBurst {
		o.dropped++
		return dropped, false
	}
	o.lines++
	return dropped, true
}

// finish tells of lines dropped at the end.
func (o *output) finish() {
	o.mu.Lock()
	dropped := o.dropped
	o.dropped = 0
	o.mu.Unlock()
	if dropped > 0 {
		o.log.Warn("plugin output dropped", "lines", dropped)
	}
}

// lineWriter splits a stream into lines. It is for one goroutine.
type lineWriter struct {
	out    *output
	stream string
	buf    []byte
	skip   bool // the rest of an overlong line
}

// Write takes the next bytes of the stream and never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, found := bytes.Cut(p, []byte{'\n'})
		p = rest
		if !w.skip {
			w.buf = append(w.buf, line[:min(len(line), maxRaw-len(w.buf))]...)
		}
		if !found && len(w.buf) < maxRaw {
			break
		}
		if !w.skip {
			w.out.line(w.stream, w.buf, len(w.buf) >= maxRaw)
			w.buf = w.buf[:0]
		}
		w.skip = !found
	}
	return n, nil
}

// Close logs a last line without an end.
func (w *lineWriter) Close() error {
	if len(w.buf) > 0 && !w.skip {
		w.out.line(w.stream, w.buf, true)
		w.buf = nil
	}
	return nil
}
