package daemon

import (
	"context"
	"path"
	"strings"
	"sync/atomic"
	"time"
)

// evaluateAll has every certificate decided about anew, as after a start or with another configuration.
func (d *Daemon) evaluateAll() {
	s := d.setup.Load()
	now := time.Now()
	for n := range s.config.Len() {
		d.timer.Set(evaluateKey+s.config.Name(n), now)
	}
	d.swept(s)
}

// swept notes that all certificates are being looked at, and sees to the next time.
func (d *Daemon) swept(s *setup) {
	d.metrics.lastSweep.SetToCurrentTime()
	d.timer.Set(sweepKey, time.Now().Add(s.config.Daemon.RescanInterval))
}

// sweep looks at the files of every certificate, whatever was or wasn't noticed. A part of the file system that hangs holds
// up the look at its own certificates and at no others.
func (d *Daemon) sweep() {
	s, begun := d.setup.Load(), time.Now()
	d.swept(s)
	parts := map[string][]int{}
	for n := range s.config.Len() {
		part := partOf(s.config.Folder(n))
		parts[part] = append(parts[part], n)
	}
	var left atomic.Int64
	left.Store(int64(len(parts)))
	for part, members := range parts {
		key := sweepKey + part
		d.lanes.put(job{key: key, lane: key, limit: 1, do: func(ctx context.Context) {
			d.sweepPart(ctx, s, members)
			if left.Add(-1) == 0 {
				d.metrics.sweepTook.Set(time.Since(begun).Seconds())
			}
		}})
	}
}

// sweepPart looks at the files of some certificates and has those evaluated that are not as they were, or about which
// nothing was decided that comes by itself.
func (d *Daemon) sweepPart(ctx context.Context, s *setup, members []int) {
	var paths []string
	for _, n := range members {
		if ctx.Err() != nil {
			return
		}
		name := s.config.Name(n)
		paths = s.config.Paths(n, paths[:0])
		switch same := d.store.Unchanged(paths, d.viewOf(name)); {
		case !same:
			d.watcher.Moved(name)
			d.timer.Set(evaluateKey+name, time.Now())
		case d.timer.Due(evaluateKey + name).IsZero():
			d.timer.Set(evaluateKey+name, time.Now()) // it waits for an order or a person
		case d.timer.Due(windowKey + name).IsZero():
			look, _ := d.lookOf(name)
			d.scheduleWindow(s.config.At(n), look) // its CA may have learned to answer
		}
	}
}

// partOf is the part of the file system a certificate's files are in, given by the folder of the first, such as /etc/nginx:
// fine enough to tell one mounted server from another, coarse enough to keep many certificates in one lane.
func partOf(folder string) string {
	if folder == "" {
		return ""
	}
	dir := path.Clean(folder)
	const depth = 2 // folders below the root
	at := 0
	for range depth + 1 {
		next := strings.IndexByte(dir[at:], '/')
		if next < 0 {
			return dir
		}
		at += next + 1
	}
	return dir[:at-1]
}
