package deploy

import (
	"fmt"
	"strings"
	"sync"
)

// What is kept of a command's output, in bytes: its beginning, where the first mistake is named, and its end.
const (
	headKept = 16 << 10
	tailKept = 48 << 10
)

// output keeps the beginning and the end of what is written to it. It never fails, so that a command that writes much is
// not stopped by it.
type output struct {
	mu      sync.Mutex
	head    []byte
	tail    []byte // a ring once it is full
	next    int    // where in the full ring the oldest byte is
	dropped int64  // bytes between head and tail
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(b)
	k := min(headKept-len(o.head), n)
	o.head = append(o.head, b[:k]...)
	b = b[k:]
	if over := len(b) - tailKept; over > 0 {
		o.dropped += int64(over)
		b = b[over:]
	}
	k = min(tailKept-len(o.tail), len(b))
	o.tail = append(o.tail, b[:k]...)
	for b = b[k:]; len(b) > 0; b = b[k:] {
		k = copy(o.tail[o.next:], b)
		o.next = (o.next + k) % tailKept
		o.dropped += int64(k)
	}
	return n, nil
}

// String returns what was kept, as valid UTF-8, and says how much was left out.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	tail := string(o.tail[o.next:]) + string(o.tail[:o.next])
	s := string(o.head) + tail
	if o.dropped > 0 {
		s = fmt.Sprintf("%s\n... %d bytes left out ...\n%s", o.head, o.dropped, tail)
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
