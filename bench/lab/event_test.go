package lab

import (
	"encoding/json"
	"testing"
)

// However an event is read, it says the same.
func TestReadEvent(t *testing.T) {
	for name, line := range map[string]string{
		"an event":        `{"time":"2026-11-22T15:42:51.985839609Z","level":"INFO","msg":"deployed: renewal done","event":"deployed","certificate":"c000050","order":"20261122-154248-68568178"}`,
		"without fields":  `{"time":"2026-11-22T15:42:51Z","level":"INFO","msg":"ready: 1 certificates","event":"started"}`,
		"quoted words":    `{"time":"2026-11-22T15:42:51.1Z","level":"WARN","msg":"the CA says \"event\":\"x\"","event":"failed","certificate":"a","order":"b"}`,
		"escaped letters": `{"time":"2026-11-22T15:42:51.1+01:00","level":"WARN","msg":"a \u003c b","event":"failed","certificate":"a","order":"b"}`,
		"more fields":     `{"time":"2026-11-22T15:42:51.1Z","level":"ERROR","msg":"","event":"failed","n":3,"certificate":"a","order":"b","list":["x"]}`,
	} {
		var want Event
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		if got, err := readEvent([]byte(line + "\n")); err != nil || got != want {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, want)
		}
	}
	for name, line := range map[string]string{"no JSON": "panic: x", "no time": `{"level":"INFO","event":"x"}`, "cut": `{"time":"2026-11-22T15:42:51.1Z","msg":"a \"`} {
		if e, err := readEvent([]byte(line)); err == nil {
			t.Errorf("%s: it was read as %+v", name, e)
		}
	}
}
