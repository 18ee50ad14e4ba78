package daemon

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// lanes runs jobs side by side, but no more at once in one lane than the lane's limit: whatever hangs holds up its
// own lane and no other. Of the jobs that wait in a lane, the most urgent goes first. What waits or rests costs no
// goroutine.
type lanes struct {
	mu      sync.Mutex
	ctx     context.Context // of all jobs
	lanes   map[string]*lane
	jobs    map[string]*job // by key, waiting or running
	running sync.WaitGroup
	closed  bool
	order   uint64
}

type lane struct {
	running int
	waiting jobHeap
}

// job is something to do. A key that is given again while its job waits is not doubled; while it runs, it runs once
// more afterwards.
type job struct {
	key, lane string
	limit     int
	urgency   time.Time // the earliest goes first
	do        func(context.Context)

	order   uint64 // first come, first served among equals
	running bool
	again   *job
}

func newLanes(ctx context.Context) *lanes {
	return &lanes{ctx: ctx, lanes: map[string]*lane{}, jobs: map[string]*job{}}
}

// put hands a job over. It never blocks.
func (l *lanes) put(j job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if have := l.jobs[j.key]; have != nil {
		if have.running {
			have.again = &j
		}
		return
	}
	l.enqueue(&j)
}

func (l *lanes) enqueue(j *job) {
	l.order++
	j.order = l.order
	l.jobs[j.key] = j
	ln := l.lanes[j.lane]
	if ln == nil {
		ln = &lane{}
		l.lanes[j.lane] = ln
	}
	heap.Push(&ln.waiting, j)
	l.dispatch(j.lane, ln)
}

func (l *lanes) dispatch(name string, ln *lane) {
	for len(ln.waiting) > 0 && ln.running < max(ln.waiting[0].limit, 1) && !l.closed {
		j, _ := heap.Pop(&ln.waiting).(*job)
		j.running = true
		ln.running++
		l.running.Go(func() {
			j.do(l.ctx)
			l.done(j, ln)
		})
	}
	if ln.running == 0 && len(ln.waiting) == 0 {
		delete(l.lanes, name)
	}
}

func (l *lanes) done(j *job, ln *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln.running--
	delete(l.jobs, j.key)
	if j.again != nil && !l.closed {
		l.enqueue(j.again)
	}
	l.dispatch(j.lane, ln)
}

// close lets what runs end, starts nothing more, and waits; it returns early when the context ends.
func (l *lanes) close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// jobHeap orders jobs by urgency (container/heap).
type jobHeap []*job

func (h jobHeap) Len() int { return len(h) }
func (h jobHeap) Less(i, j int) bool {
	if c := h[i].urgency.Compare(h[j].urgency); c != 0 {
		return c < 0
	}
	return h[i].order < h[j].order
}
func (h jobHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *jobHeap) Push(x any) {
	j, _ := x.(*job)
	*h = append(*h, j)
}

func (h *jobHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
