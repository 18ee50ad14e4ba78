package pluginhost

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestPolicy(t *testing.T) {
	p := Policy{
		BackoffBase: time.Second, BackoffMax: 5 * time.Second,
		QuarantineAfter: 5, QuarantineWindow: time.Minute, QuarantineFor: time.Hour,
	}
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		failures    []time.Duration // after t0
		quarantined bool
		until       time.Duration
	}{
		"one failure":                         {[]time.Duration{0}, false, time.Second},
		"two: doubled":                        {[]time.Duration{0, 10 * time.Second}, false, 12 * time.Second},
		"four: bounded":                       {[]time.Duration{0, 1, 2, 3}, false, 5*time.Second + 3},
		"five in the window: quarantined":     {[]time.Duration{0, 1, 2, 3, 4}, true, time.Hour + 4},
		"five, the first too old":             {[]time.Duration{0, 61 * time.Second, 62 * time.Second, 63 * time.Second, 64 * time.Second}, false, 69 * time.Second},
		"failed trial: quarantined at once":   {[]time.Duration{0, 1, 2, 3, 4, 2 * time.Hour}, true, 3 * time.Hour},
		"long after: as if it were the first": {[]time.Duration{0, 1, time.Hour}, false, time.Hour + time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var r record
			for _, after := range test.failures {
				r = r.failed(t0.Add(after), "because", p)
			}
			if r.quarantined != test.quarantined || !r.until.Equal(t0.Add(test.until)) {
				t.Errorf("quarantined %v until %s, want %v until %s", r.quarantined, r.until.Sub(t0), test.quarantined, test.until)
			}
			if wait, err := r.gate(r.until.Add(-time.Second)); wait != time.Second || err == nil || !strings.Contains(err.Error(), "because") {
				t.Errorf("before: %s %v", wait, err)
			}
			if wait, err := r.gate(r.until); wait != 0 || err != nil {
				t.Errorf("after: %s %v", wait, err)
			}
			if after := r.succeeded(); after.quarantined || (test.quarantined && len(after.failures) > 0) || (!test.quarantined && len(after.failures) == 0) {
				t.Errorf("after a success: %+v", after)
			}
		})
	}
}

func FuzzBackoff(f *testing.F) {
	f.Add(1, int64(time.Second), int64(time.Minute))
	f.Add(1<<30, int64(1), int64(1<<62))
	f.Fuzz(func(t *testing.T, n int, base, most int64) {
		p := Policy{BackoffBase: time.Duration(base), BackoffMax: time.Duration(most)}.withDefaults()
		if d := backoff(n%10_000, p); d <= 0 || d > p.BackoffMax {
			t.Errorf("%s for %d failures with %s to %s", d, n, p.BackoffBase, p.BackoffMax)
		}
	})
}

func TestMasker(t *testing.T) {
	m := newMasker(pluginapi.Settings{Secrets: map[string]pluginapi.Secret{
		"a": pluginapi.NewSecret("s3cr3t"), "b": pluginapi.NewSecret("s3cr3t-and-more"), "c": pluginapi.NewSecret("a b&c/d\"e"),
		"d": pluginapi.NewSecret("xyz"), "e": pluginapi.NewSecret("-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----\n"), "f": pluginapi.NewSecret(""),
	}}, map[string]string{"TOKEN": "environment-token", "DEBUG": "true"})
	for in, want := range map[string]string{
		"key s3cr3t.":                   "key [secret].",
		"key s3cr3t-and-more.":          "key [secret].",
		"?q=a+b%26c%2Fd%22e&x":          "?q=[secret]&x",
		`{"k":"a b\u0026c/d\"e"}`:       `{"k":"[secret]"}`,
		"basic czNjcjN0":                "basic [secret]",
		"xyz is too short to look for":  "xyz is too short to look for",
		"line MIIEvQIBADANBg of a file": "line [secret] of a file",
		"environment-token, true":       "[secret], true",
		"nothing":                       "nothing",
	} {
		if got := m.text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	m.add(map[string]pluginapi.Secret{"late": pluginapi.NewSecret("order-secret")})
	if got := m.text("an order-secret"); got != "an [secret]" {
		t.Errorf("learned later: %q", got)
	}
}

func TestOutputIsBoundedAndMasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		out := &output{
			log:  slog.New(slog.NewTextHandler(&log, nil)),
			mask: newMasker(pluginapi.Settings{Secrets: map[string]pluginapi.Secret{"k": pluginapi.NewSecret("planted-secret")}}, nil),
		}
		w := &lineWriter{out: out, stream: "stderr"}
		_, _ = io.WriteString(w, "a planted-")
		_, _ = io.WriteString(w, "secret in two writes\n\n")
		_, _ = io.WriteString(w, strings.Repeat("y", maxRaw-7)+"planted-secret and more of the line\nafter\n")
		_, _ = io.WriteString(w, strings.Repeat("planted-secret", 10_000)+"\n")
		_, _ = io.WriteString(w, `{"@level":"warn","@message":"of a plugin"}`+"\n")
		if strings.Contains(log.String(), "planted") {
			t.Error("a secret was logged")
		}
		for _, want := range []string{"a [secret] in two writes", "line=after", "level=WARN"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("%q is not logged", want)
			}
		}
		for line := range strings.Lines(log.String()) {
			if len(line) > maxLine+200 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
		log.Reset()
		for n := range 10 * linesPerBurst {
			_, _ = fmt.Fprintln(w, "flood", n)
		}
		if n := strings.Count(log.String(), "flood"); n > linesPerBurst {
			t.Errorf("%d lines", n)
		}
		time.Sleep(burstPeriod)
		_, _ = io.WriteString(w, "the end without an end of line comes too, when there is enough of it")
		_ = w.Close()
		out.finish()
		if !strings.Contains(log.String(), "plugin output dropped") || !strings.Contains(log.String(), "the end without") {
			t.Errorf("log: %s", log.String()[max(0, log.Len()-400):])
		}
	})
}

func TestOutputOfALogIsToldInItsWords(t *testing.T) {
	cases := map[string]struct{ line, want string }{
		"hclog":           {`{"@level":"warn","@message":"slow","@timestamp":"now","url":"https://ca.example","took":1.5}`, `level=WARN msg="plugin log" says=slow with.took=1.5 with.url=https://ca.example`},
		"slog":            {`{"time":"now","level":"DEBUG","msg":"looked","order":{"id":7}}`, `level=DEBUG msg="plugin log" says=looked with.order="{\"id\":7}"`},
		"nothing besides": {`{"@level":"error","@message":"broken"}`, `level=ERROR msg="plugin log" says=broken`},
		"unknown level":   {`{"@level":7,"@message":"broken"}`, `level=INFO msg="plugin log" says=broken`},
		"a secret":        {`{"@message":"key planted-secret","planted-secret":"\u0070lanted-secret"}`, `level=INFO msg="plugin log" says="key [secret]" with.[secret]=[secret]`},
		"other JSON":      {`{"message":"x"}`, `level=INFO msg="plugin output" stream=stderr line="{\"message\":\"x\"}"`},
		"no JSON":         {`{"@message":"x"`, `level=INFO msg="plugin output" stream=stderr line="{\"@message\":\"x\""`},
		"words":           {`listening`, `level=INFO msg="plugin output" stream=stderr line=listening`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			out := &output{
				log:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				mask: newMasker(pluginapi.Settings{Secrets: map[string]pluginapi.Secret{"k": pluginapi.NewSecret("planted-secret")}}, nil),
			}
			w := &lineWriter{out: out, stream: "stderr"}
			_, _ = io.WriteString(w, c.line+"\n")
			_, got, _ := strings.Cut(strings.TrimSpace(log.String()), " ") // without the time
			if got != c.want {
				t.Errorf("logged %s\nwant   %s", got, c.want)
			}
		})
	}
}

func FuzzLineWriter(f *testing.F) {
	f.Add([]byte(`{"@message":"planted-secret \u0070lanted-secret","a":["planted-secret"]}`+"\n"), 9)
	f.Add([]byte("one\ntwo\r\nthree"), 3)
	f.Add([]byte("x planted-secret y\n"), 5)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var log bytes.Buffer
		out := &output{
			log:  slog.New(slog.NewTextHandler(&log, nil)),
			mask: newMasker(pluginapi.Settings{Secrets: map[string]pluginapi.Secret{"k": pluginapi.NewSecret("planted-secret")}}, nil),
		}
		w := &lineWriter{out: out, stream: "stderr"}
		at := max(0, min(cut, len(data)))
		for _, part := range [][]byte{data[:at], data[at:]} {
			if n, err := w.Write(part); n != len(part) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(part), err)
			}
		}
		_ = w.Close()
		if strings.Contains(log.String(), "planted-secret") {
			t.Error("a secret was logged")
		}
	})
}
