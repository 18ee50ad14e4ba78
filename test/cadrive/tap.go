package cadrive

import (
	"bytes"
	"context"
	"net/http"
	"sync"
)

// tap stands before a stand-in and ends the plugin's call when the HTTP call that was chosen comes.
type tap struct {
	inner http.Handler

	mu     sync.Mutex
	armed  bool
	left   int // calls to let pass
	after  bool
	cancel context.CancelFunc // of the call of the contract that is under way
	dead   bool               // that call has been ended
}

func (p *tap) arm(n int, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.left, p.after = true, n, after
}

// during says which call of the contract is under way.
func (p *tap) during(cancel context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel, p.dead = cancel, false
}

// died ends the call of the contract, and reports whether it was killed.
func (p *tap) died() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancel = nil
	return p.dead
}

// chosen reports whether the plugin is to die at this call.
func (p *tap) chosen() (now, after bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed {
		return false, false
	}
	if p.left > 0 {
		p.left--
		return false, false
	}
	p.armed = false
	return true, p.after
}

func (p *tap) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.dead = true
		p.cancel()
	}
}

// ServeHTTP answers a call, or kills who has made it.
func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now, after := p.chosen()
	if !now {
		p.inner.ServeHTTP(w, r)
		return
	}
	if after {
		p.inner.ServeHTTP(&unsent{header: http.Header{}}, r)
	}
	p.kill()
	panic(http.ErrAbortHandler) // the connection ends without an answer
}

// unsent is an answer that nobody gets.
type unsent struct{ header http.Header }

// Header returns the header.
func (u *unsent) Header() http.Header { return u.header }

// WriteHeader forgets the status.
func (u *unsent) WriteHeader(int) {}

// Write forgets the body.
func (u *unsent) Write(p []byte) (int, error) { return len(p), nil }

// Log keeps what is logged; several goroutines may write.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps a piece.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
