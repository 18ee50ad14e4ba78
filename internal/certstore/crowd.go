package certstore

import (
	"hash/maphash"
	"iter"
	"maps"
)

// place is a name in a folder, as a number: that of the folder above, a digest of the name below. Two names may share a
// place: a change of one is then reported for the certificates of the other, too, which costs them a look at their files.
type place uint64

func placeOf(folder uint32, seed maphash.Seed, base string) place {
	return place(folder)<<32 | place(uint32(maphash.String(seed, base)))
}

func (p place) folder() uint32 { return uint32(p >> 32) }

// crowds knows which certificates care about a place: mostly one, since a file is that of one certificate, and thousands
// about a folder that they share.
type crowds struct {
	one  map[place]int32
	more map[place]map[int32]bool
}

func newCrowds() crowds { return crowds{map[place]int32{}, map[place]map[int32]bool{}} }

// add adds a certificate to those that care about a place. It reports true when it is the first.
func (c crowds) add(p place, certificate int32) (first bool) {
	if more := c.more[p]; more != nil {
		more[certificate] = true
		return false
	}
	other, taken := c.one[p]
	if taken && other != certificate {
		delete(c.one, p)
		c.more[p] = map[int32]bool{other: true, certificate: true}
		return false
	}
	c.one[p] = certificate
	return !taken
}

// remove takes a certificate out of those that care about a place. It reports true when it was the last.
func (c crowds) remove(p place, certificate int32) (last bool) {
	if more := c.more[p]; more != nil {
		if delete(more, certificate); len(more) > 0 {
			return false
		}
		delete(c.more, p)
		return true
	}
	if other, taken := c.one[p]; !taken || other != certificate {
		return false
	}
	delete(c.one, p)
	return true
}

// of returns the certificates that care about a place.
func (c crowds) of(p place) iter.Seq[int32] {
	if more := c.more[p]; more != nil {
		return maps.Keys(more)
	}
	return func(yield func(int32) bool) {
		if certificate, taken := c.one[p]; taken {
			yield(certificate)
		}
	}
}
