package daemon

import (
	"context"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certbridge/certbridged/internal/config"
)

// evaluateAll has every certificate decided about anew, as after a start or with another configuration.
func (d *Daemon) evaluateAll() {
	s := d.setup.Load()
	now := time.Now()
	for i := range s.config.Certificates {
		d.timer.Set(evaluateKey+s.config.Certificates[i].Name, now)
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
	for i := range s.config.Certificates {
		part := partOf(s.config.Certificates[i])
		parts[part] = append(parts[part], i)
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
	for _, i := range members {
		if ctx.Err() != nil {
			return
		}
		c := s.config.Certificates[i]
		paths = pathsOf(c, paths[:0])
		look, _ := d.lookOf(c.Name)
		switch same := d.store.Unchanged(paths, look.View); {
		case !same:
			d.watcher.Moved(c.Name)
			d.timer.Set(evaluateKey+c.Name, time.Now())
		case d.timer.Due(evaluateKey + c.Name).IsZero():
			d.timer.Set(evaluateKey+c.Name, time.Now()) // it waits for an order or a person
		case d.timer.Due(windowKey + c.Name).IsZero():
			d.scheduleWindow(c, look) // its CA may have learned to answer
		}
	}
}

// pathsOf appends the paths of a certificate's files to a list.
func pathsOf(c config.Certificate, list []string) []string {
	if list == nil {
		list = make([]string, 0, len(c.Files))
	}
	for i := range c.Files {
		list = append(list, c.Files[i].Path)
	}
	return list
}

// partOf is the part of the file system a certificate's files are in, such as /etc/nginx: fine enough to tell one mounted
// server from another, coarse enough to keep many certificates in one lane.
func partOf(c config.Certificate) string {
	if len(c.Files) == 0 {
		return ""
	}
	dir := path.Dir(c.Files[0].Path)
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
