package throttle

import (
	"math"
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	l := limit{perSecond: 10, burst: 2}
	begin := time.Now()
	granted := 0
	for i := range 1001 { // a request every millisecond
		if l.take(begin.Add(time.Duration(i) * time.Millisecond)) {
			granted++
		}
	}
	if granted != 12 { // two at once, and ten in a second
		t.Errorf("%d were granted", granted)
	}
	if c := l.counts; c.Granted != granted || c.Refused != 1001-granted || math.Abs(c.Share(10, 2, begin.Add(time.Second))-1) > 0.01 {
		t.Errorf("%+v, share %g", c, c.Share(10, 2, begin.Add(time.Second)))
	}
	early := limit{perSecond: 10, burst: 2}
	for range 100 { // all at once, and then nobody comes again
		early.take(begin)
	}
	if share := early.counts.Share(10, 2, begin.Add(time.Second)); math.Abs(share-2.0/12) > 1e-9 {
		t.Errorf("share %g", share)
	}
}
