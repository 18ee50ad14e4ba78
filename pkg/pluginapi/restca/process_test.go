package restca

import (
	"log/slog"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	p := Process{}.WithDefaults()
	if p.UserAgent() != "certbridged/devel" || time.Since(p.Now()) > time.Minute || p.Log() != slog.Default() {
		t.Errorf("by default: %s, %s", p.UserAgent(), p.Now())
	}
	at, log := time.Unix(1, 0), slog.New(slog.DiscardHandler)
	p = Process{Version: "1.2", Now: func() time.Time { return at }, Logger: log}.WithDefaults()
	if p.UserAgent() != "certbridged/1.2" || !p.Now().Equal(at) || p.Log() != log {
		t.Errorf("as given: %s, %s", p.UserAgent(), p.Now())
	}
}
