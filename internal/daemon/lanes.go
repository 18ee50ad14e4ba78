package daemon

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// lanes runs jobs side by side, but no more at once in one lane than the lane's limit: whatever hangs holds up its
// own lane and no other. Of the jobs that wait in a lane, the most urgent goes first. What waits or rests costs no
// goroutine: one that has ended a job is at hand for the next, of whichever lane, for a moment (spareFor) only.
//
// Lanes may lead through one gate, such as a CA account's. While it is shut nothing more starts in them, and what comes
// waits in its place: when it opens, the most urgent goes first.
type lanes struct {
	mu      sync.Mutex
	ctx     context.Context // of all jobs
	lanes   map[string]*lane
	jobs    map[string]*job  // by key, waiting or running
	gates   map[string]*gate // those that are shut
	spare   []chan turn      // of goroutines that have nothing to do, the last that had on top
	sparing bool             // dismiss is going to be called
	running sync.WaitGroup   // goroutines, spare ones too
	closed  bool
	order   uint64
	most    int // how many jobs there were at once
}

// manyJobs is from how many jobs on their room is given back.
const manyJobs = 1000

// spareFor is how long at most a goroutine waits for its next job. A new one for each job would have to grow its stack each
// time: a job takes up to 32 KB of it, a goroutine begins with a few.
const spareFor = time.Second

// turn is a job that is to be done now, and its lane.
type turn struct {
	*job
	in *lane
}

type lane struct {
	gate    string
	running int
	waiting jobHeap
}

type gate struct {
	until time.Time
	timer *time.Timer
}

// job is something to do. A key that is given again while its job waits is not doubled; while it runs, it runs once
// more afterwards.
type job struct {
	key, lane string
	gate      string // of all jobs of the lane; empty: none
	limit     int
	urgency   time.Time // the earliest goes first
	begun     bool      // and among equals what was begun already
	do        func(context.Context)

	order   uint64 // first come, first served among equals
	running bool
	again   *job
}

func newLanes(ctx context.Context) *lanes {
	return &lanes{ctx: ctx, lanes: map[string]*lane{}, jobs: map[string]*job{}, gates: map[string]*gate{}}
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
		ln = &lane{gate: j.gate}
		l.lanes[j.lane] = ln
	}
	heap.Push(&ln.waiting, j)
	l.dispatch(j.lane, ln)
}

func (l *lanes) dispatch(name string, ln *lane) {
	for len(ln.waiting) > 0 && ln.running < max(ln.waiting[0].limit, 1) && !l.closed && l.gates[ln.gate] == nil {
		j, _ := heap.Pop(&ln.waiting).(*job)
		j.running = true
		ln.running++
		l.start(turn{j, ln})
	}
	if ln.running == 0 && len(ln.waiting) == 0 {
		delete(l.lanes, name)
	}
}

// start gives a job to a goroutine.
func (l *lanes) start(t turn) {
	if last := len(l.spare) - 1; last >= 0 {
		l.spare[last] <- t
		l.spare = l.spare[:last]
		return
	}
	l.running.Go(func() {
		next := make(chan turn, 1)
		for more := true; more; t, more = <-next {
			t.do(l.ctx)
			l.done(t, next)
		}
	})
}

// done ends a job. The goroutine that did it is told through next what to do now: a job, or, by closing, nothing.
func (l *lanes) done(t turn, next chan turn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t.in.running--
	delete(l.jobs, t.key)
	l.spare = append(l.spare, next)
	switch {
	case l.closed:
		l.dismissAll()
	case !l.sparing:
		l.sparing = true
		time.AfterFunc(spareFor, l.dismiss)
	}
	if t.again != nil && !l.closed {
		l.enqueue(t.again)
	}
	if l.most = max(l.most, len(l.jobs)); len(l.jobs) == 0 && l.most > manyJobs { // a map keeps the room it once needed
		l.jobs, l.most = map[string]*job{}, 0
	}
	l.dispatch(t.lane, t.in)
}

// dismiss lets the goroutines go that have nothing to do.
func (l *lanes) dismiss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sparing = false
	l.dismissAll()
}

func (l *lanes) dismissAll() {
	for _, next := range l.spare {
		close(next)
	}
	l.spare = nil
}

// shut keeps a gate shut for a while. What runs is let run.
func (l *lanes) shut(name string, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := time.Now().Add(wait)
	g := l.gates[name]
	switch {
	case l.closed || wait <= 0:
	case g == nil:
		l.gates[name] = &gate{until: until, timer: time.AfterFunc(wait, func() { l.open(name) })}
	case until.After(g.until):
		g.until = until
		g.timer.Reset(wait)
	}
}

func (l *lanes) open(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.gates[name]
	if g == nil {
		return
	}
	if wait := time.Until(g.until); wait > 0 { // it was shut for longer while the timer went off
		g.timer.Reset(wait)
		return
	}
	delete(l.gates, name)
	for lane, ln := range l.lanes {
		if ln.gate == name {
			l.dispatch(lane, ln)
		}
	}
}

// shutUntil returns when a gate opens; zero for one that is open.
func (l *lanes) shutUntil(name string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.gates[name]; g != nil {
		return g.until
	}
	return time.Time{}
}

// close lets what runs end, starts nothing more, and waits; it returns early when the context ends.
func (l *lanes) close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	for name, g := range l.gates {
		g.timer.Stop()
		delete(l.gates, name)
	}
	l.dismissAll()
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

// jobHeap orders jobs by urgency, then by what was begun (container/heap).
type jobHeap []*job

func (h jobHeap) Len() int { return len(h) }
func (h jobHeap) Less(i, j int) bool {
	if c := h[i].urgency.Compare(h[j].urgency); c != 0 {
		return c < 0
	}
	if h[i].begun != h[j].begun {
		return h[i].begun
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
