package daemon

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/internal/dcv"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// fallsSilent is a resolver that says to the first questions that there is no such name, and to the others nothing. It counts them.
func fallsSilent(t *testing.T, answers int32) (address string, questions *atomic.Int32) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done, questions := make(chan struct{}), new(atomic.Int32)
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	go func() {
		defer close(done)
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if questions.Add(1) > answers {
				continue
			}
			// The question comes back as an answer (QR, RFC 1035 section 4.1.1) of a resolver with the code NXDOMAIN.
			buffer[2] |= 0x80
			buffer[3] = 0x83
			_, _ = conn.WriteTo(buffer[:n], from)
		}
	}()
	return conn.LocalAddr().String(), questions
}

// lookingDaemon has a resolver alone to look at.
func lookingDaemon(t *testing.T, resolver string) *Daemon {
	t.Helper()
	solver, err := dcv.New(dcv.Options{
		DNS: dcv.DNS{Resolvers: []string{"127.0.0.1:53"}, Propagation: dcv.Resolvers},
		DialDNS: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", resolver)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = solver.Close() })
	return &Daemon{solver: solver, log: slog.New(slog.DiscardHandler)}
}

// The time limit cuts the last look off. What is told is what the servers said before, not that nobody answers.
func TestALookThatIsCutOffHidesNoAnswers(t *testing.T) {
	resolver, questions := fallsSilent(t, 1)
	d := lookingDaemon(t, resolver)
	c := pluginapi.Challenge{ID: "a", Identifier: "example.com", DNS: &pluginapi.DNSRecord{Name: "_a.example.com", Type: pluginapi.TXT, Value: "v"}}
	var last control.ProfileTestStep
	err := d.lookAtRecord(t.Context(), trial{Challenge: c}, trialInterval+300*time.Millisecond, func(s control.ProfileTestStep) error {
		last = s
		return nil
	})
	if err == nil || last.Step != "seen" || last.OK {
		t.Fatalf("%+v, %v", last, err)
	}
	if !strings.Contains(last.Message, "NXDOMAIN") || strings.Contains(last.Message, "no resolver answers") {
		t.Error(last.Message)
	}
	if questions.Load() < 2 {
		t.Errorf("%d questions: no look was cut off", questions.Load())
	}

	// Where nobody has ever answered, that is what is told.
	resolver, _ = fallsSilent(t, 0)
	d = lookingDaemon(t, resolver)
	_ = d.lookAtRecord(t.Context(), trial{Challenge: c}, 300*time.Millisecond, func(s control.ProfileTestStep) error {
		last = s
		return nil
	})
	if !strings.Contains(last.Message, "no resolver answers") {
		t.Error(last.Message)
	}
}
