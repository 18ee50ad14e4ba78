package restca

import (
	"context"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestGate(t *testing.T) {
	var g Gate
	leave, err := g.Enter(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	other, err := g.Enter(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Enter(ended, "a"); pluginapi.KindOf(err) != pluginapi.Unavailable {
		t.Errorf("a taken gate with an ended context: %v", err)
	}
	got := make(chan error)
	go func() {
		again, err := g.Enter(t.Context(), "a")
		if err == nil {
			again()
		}
		got <- err
	}()
	leave()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestConfigured(t *testing.T) {
	var c Configured[int]
	if _, err := c.Get(); pluginapi.KindOf(err) != pluginapi.InvalidRequest {
		t.Errorf("before Configure: %v", err)
	}
	one, two := 1, 2
	if before := c.Set(&one); before != nil {
		t.Errorf("the first follows %v", *before)
	}
	if before := c.Set(&two); before != &one {
		t.Error("the second does not follow the first")
	}
	if got, err := c.Get(); err != nil || *got != 2 {
		t.Errorf("got %v, %v", got, err)
	}
}
