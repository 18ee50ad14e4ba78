package packed

import (
	"math"
	"slices"
	"testing"
	"time"
)

func FuzzWhatIsPackedComesBack(f *testing.F) {
	f.Add(int64(0), "", "", false, int64(0), int64(0))
	f.Add(int64(math.MinInt64), "a", "\x00\xff", true, int64(math.MaxInt32), int64(1))
	f.Add(int64(math.MaxInt64), "a", "b", true, int64(-62135596800), int64(0)) // the zero time
	f.Fuzz(func(t *testing.T, n int64, a, b string, flag bool, seconds, nanoseconds int64) {
		if seconds > 1<<40 || seconds < -1<<40 {
			return
		}
		at := time.Unix(seconds, nanoseconds).UTC()
		var w Writer
		w.Number(n)
		w.Text(a)
		w.Texts([]string{b, a})
		w.Bytes([]byte(b))
		w.Texts(nil)
		w.Flag(flag)
		w.Time(at)
		r := Reader(w)
		if got := r.Number(); got != n {
			t.Errorf("number %d, want %d", got, n)
		}
		if got := r.Text(); got != a {
			t.Errorf("text %q, want %q", got, a)
		}
		if got := r.Texts(); !slices.Equal(got, []string{b, a}) {
			t.Errorf("texts %q", got)
		}
		if got := r.Bytes(int64(len(b))); got != b {
			t.Errorf("bytes %q, want %q", got, b)
		}
		if got := r.Texts(); got != nil {
			t.Errorf("no texts came back as %q", got)
		}
		if got := r.Flag(); got != flag {
			t.Errorf("flag %t", got)
		}
		if got := r.Time(); !got.Equal(at) || got.Location() != time.UTC {
			t.Errorf("time %v, want %v", got, at)
		}
		if len(r) != 0 {
			t.Errorf("%d bytes are left", len(r))
		}
	})
}
