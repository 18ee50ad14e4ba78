package acme

import "time"

// grain is the shortest time that a history tells apart, in seconds.
const grain = 0.02

// history is when requests were granted, counted in bins of one width.
type history struct {
	began, end time.Time // end is that of one that is over
	width      float64   // of a bin, in seconds
	bins       [128]float64
	count      float64
}

func newHistory(began time.Time) history { return history{began: began, width: grain} }

// add counts what was granted now. When there is no bin left the bins become twice as wide, or with all unset, the older half
// is forgotten.
func (h *history) add(at time.Time, all bool) {
	half := len(h.bins) / 2
	if h.began.IsZero() || !all && at.Sub(h.began).Seconds() > 3*float64(half)*grain {
		*h = newHistory(at)
	}
	h.count++
	i := int(max(0, at.Sub(h.began).Seconds()) / h.width)
	for ; i >= len(h.bins); i = int(at.Sub(h.began).Seconds() / h.width) {
		if all {
			for k := range half {
				h.bins[k] = h.bins[2*k] + h.bins[2*k+1]
			}
			h.width *= 2
		} else {
			copy(h.bins[:half], h.bins[half:])
			h.began = h.began.Add(seconds(float64(half) * h.width))
		}
		clear(h.bins[half:])
	}
	h.bins[i]++
}

// atOnce is how much would be in a bucket at an instant into which each request put one and which so many a second leave.
func (h *history) atOnce(at time.Time, leave float64) float64 {
	level, _ := h.levels(at, leave)
	return level
}

// most is how much would have been in that bucket at most until then.
func (h *history) most(at time.Time, leave float64) float64 {
	_, most := h.levels(at, leave)
	return most
}

func (h *history) levels(at time.Time, leave float64) (last, most float64) {
	now := at.Sub(h.began).Seconds() / h.width
	for i, n := range h.bins {
		if float64(i) > now {
			break
		}
		last = max(0, last+n-leave*h.width*min(1, now-float64(i)))
		most = max(most, last)
	}
	return last, most
}

// flight counts the requests that were sent within the last second or two and are not answered. Older ones count no more: some
// requests take a CA long, and nothing else must wait for them.
type flight struct {
	second     time.Time // when the current second began
	last, this int
}

func (f *flight) add(at time.Time) {
	f.roll(at)
	f.this++
}

func (f *flight) count(at time.Time) int {
	f.roll(at)
	return f.last + f.this
}

func (f *flight) answered(sent time.Time) {
	switch {
	case !sent.Before(f.second):
		f.this = max(f.this-1, 0)
	case !sent.Before(f.second.Add(-time.Second)):
		f.last = max(f.last-1, 0)
	}
}

func (f *flight) roll(at time.Time) {
	switch gone := at.Sub(f.second); {
	case gone >= 2*time.Second:
		f.second, f.last, f.this = at, 0, 0
	case gone >= time.Second:
		f.second, f.last, f.this = f.second.Add(time.Second), f.this, 0
	}
}
