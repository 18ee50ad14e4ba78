package plugintest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// checkCheckOrders asks about order settings with every address of the account exchanged for that of a listener which
// notes who comes: the rules must be known without the network.
func (s *suite) checkCheckOrders(ctx context.Context, v *verdict) {
	if !s.desc.Has(pluginapi.AbilityCheckOrders) {
		v.skip("not offered")
		return
	}
	t, err := setTrap()
	if err != nil {
		v.failf("%v", err)
		return
	}
	defer t.close()
	trapped := *s
	trapped.o.Settings = t.instead(s.accountSchema(), s.o.Settings)
	n, err := trapped.open(ctx)
	if err != nil { // it may insist on its own hosts; what it answers can be looked at all the same
		n, err = s.open(ctx)
	}
	if err != nil {
		v.failf("%v", err)
		return
	}
	defer n.close()
	good := s.o.OrderSettings
	for _, f := range s.rules(ctx, v, n, good) {
		if f.Severity == pluginapi.Fault {
			v.failf("CheckOrders with the order settings given: %s: %s", f.Field, f.Message)
		}
	}
	for i, bad := range s.o.BadOrderSettings {
		faults := make(map[int]bool)
		for _, f := range faultsOf(s.rules(ctx, v, n, good, bad, good)) {
			faults[f.Order] = true
		}
		if !maps.Equal(faults, map[int]bool{2: true}) {
			v.failf("CheckOrders with bad order settings %d between two good ones: want faults of order 2 alone, got some of %v", i+1, sorted(words(faults)))
		}
	}
	visits, err := t.visits(ctx)
	switch {
	case err != nil:
		v.failf("%v", err)
	case visits > 0:
		v.failf("CheckOrders reached out to an address of the account's settings %d times: it must use no network", visits)
	}
	if !n.p.alive(ctx) {
		v.failf("the plugin died")
	}
}

// rules asks about orders, and holds that each finding belongs to one of them or to the account.
func (s *suite) rules(ctx context.Context, v *verdict, n *session, orders ...pluginapi.Settings) []pluginapi.Finding {
	ctx, cancel := s.callContext(ctx)
	defer cancel()
	found, err := n.p.ca.CheckOrders(ctx, orders)
	if err != nil {
		v.failf("CheckOrders: %s", kindAndWords(err))
	}
	for _, f := range found {
		if f.Order > len(orders) {
			v.failf("CheckOrders was asked about %d orders and has a finding about order %d: %s", len(orders), f.Order, f.Message)
		}
	}
	return found
}

func words(set map[int]bool) map[string]bool {
	out := make(map[string]bool, len(set))
	for n := range set {
		out[fmt.Sprintf("order %d", n)] = true
	}
	return out
}

// trap is a port of this machine that nobody has a reason to come to.
type trap struct {
	listener net.Listener
	done     chan struct{} // closed when nobody is let in any more
	came     chan struct{} // one is waiting when from has grown

	mu   sync.Mutex
	from []string // remote addresses, in the order they came
}

func setTrap() (*trap, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it waits for nothing
	if err != nil {
		return nil, fmt.Errorf("listen for what must not come: %w", err)
	}
	t := &trap{listener: l, done: make(chan struct{}), came: make(chan struct{}, 1)}
	go t.accept()
	return t, nil
}

// accept closes every connection at once, so that nobody waits for an answer.
func (t *trap) accept() {
	defer close(t.done)
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.mu.Lock()
		t.from = append(t.from, conn.RemoteAddr().String())
		t.mu.Unlock()
		_ = conn.Close() // nothing was written
		select {
		case t.came <- struct{}{}:
		default:
		}
	}
}

func (t *trap) close() {
	_ = t.listener.Close() // ends accept
	<-t.done
}

// visits is how often somebody came. Connections are taken in the order they were made: once the suite's own is seen, so
// are all from before it.
func (t *trap) visits(ctx context.Context) (int, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.listener.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("look who came to %s: %w", t.listener.Addr(), err)
	}
	defer conn.Close()
	for {
		t.mu.Lock()
		others := slices.Index(t.from, conn.LocalAddr().String())
		t.mu.Unlock()
		if others >= 0 {
			return others, nil
		}
		select {
		case <-t.came:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// instead returns settings in which every address of a web server is the trap's, also those that hold by default.
func (t *trap) instead(schema []pluginapi.Field, s pluginapi.Settings) pluginapi.Settings {
	values := make(map[string]any, len(s.Values))
	for _, f := range schema {
		if text, ok := f.Default.(string); ok && f.Type == pluginapi.String {
			if u := t.address(text); u != "" {
				values[f.Name] = u
			}
		}
	}
	for name, value := range s.Values {
		values[name] = t.exchange(value)
	}
	return pluginapi.Settings{Values: values, Secrets: s.Secrets}
}

func (t *trap) exchange(value any) any {
	switch v := value.(type) {
	case string:
		if u := t.address(v); u != "" {
			return u
		}
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = t.exchange(v[i])
		}
		return list
	case map[string]any:
		table := make(map[string]any, len(v))
		for name := range v {
			table[name] = t.exchange(v[name])
		}
		return table
	}
	return value
}

// address is that of the trap in place of a web server's; empty for any other text.
func (t *trap) address(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.Host = t.listener.Addr().String()
	return u.String()
}
