package order

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
	"unique"
)

// memo is a history as it is kept in memory, packed: there is one for each certificate, and at rest nobody looks at it for
// months. The chain and the plugin's state of the last order are not in it; digests stand for the chain.
type memo string

// pack makes a memo of a history.
func (h History) pack() memo {
	var p packer
	p.text(h.Certificate)
	p.text(h.Account)
	p.flag(h.Last != nil)
	if h.Last != nil {
		p.previous(h.Last)
	}
	p.number(int64(h.Failures))
	p.instant(h.RetryAt)
	p.text(h.LastFailure)
	p.flag(h.FailedPaid)
	p.text(h.RevokedSerial)
	p.flag(h.Window != nil)
	if w := h.Window; w != nil {
		p.text(w.Serial)
		p.instant(w.Start)
		p.instant(w.End)
		p.text(w.ExplanationURL)
		p.instant(w.LookAt)
	}
	p.flag(h.Deploy != nil)
	if d := h.Deploy; d != nil {
		p.flag(d.OK)
		p.text(d.Stage)
		p.text(d.Message)
		p.text(d.Output)
		p.number(int64(d.ExitCode))
		p.instant(d.At)
		p.number(int64(d.Took))
		p.flag(d.RolledBack)
	}
	p.instant(h.DeployedAt)
	return memo(p)
}

// history is the opposite of History.pack. It trusts in a memo's being made there.
func (m memo) history() History {
	u := unpacker{m}
	h := History{Certificate: u.text(), Account: unique.Make(u.text()).Value()} // thousands of certificates share a few
	if u.flag() {
		h.Last = u.previous()
	}
	h.Failures, h.RetryAt, h.LastFailure = int(u.number()), u.instant(), u.text()
	h.FailedPaid, h.RevokedSerial = u.flag(), u.text()
	if u.flag() {
		h.Window = &Window{Serial: u.text(), Start: u.instant(), End: u.instant(), ExplanationURL: u.text(), LookAt: u.instant()}
	}
	if u.flag() {
		h.Deploy = &Deployment{
			OK: u.flag(), Stage: u.text(), Message: u.text(), Output: u.text(), ExitCode: int(u.number()), At: u.instant(),
			Took: time.Duration(u.number()), RolledBack: u.flag(),
		}
	}
	h.DeployedAt = u.instant()
	return h
}

// packer appends values one after the other.
type packer []byte

func (p *packer) number(n int64) { *p = binary.AppendVarint(*p, n) }

func (p *packer) text(s string) {
	p.number(int64(len(s)))
	*p = append(*p, s...)
}

func (p *packer) texts(list []string) {
	p.number(int64(len(list)))
	for _, s := range list {
		p.text(s)
	}
}

func (p *packer) flag(b bool) {
	if b {
		p.number(1)
	} else {
		p.number(0)
	}
}

// instant appends a time without its zone; the zero time costs a byte.
func (p *packer) instant(t time.Time) {
	p.flag(!t.IsZero())
	if !t.IsZero() {
		p.number(t.Unix())
		p.number(int64(t.Nanosecond()))
	}
}

func (p *packer) previous(q *Previous) {
	p.text(q.Reference)
	p.instant(q.CoverageEnd)
	p.instant(q.Bought)
	p.texts(q.Names)
	p.instant(q.Inspected)
	p.texts(q.Held)
	p.text(q.Gone)
	p.text(q.RenewedBy)
	p.flag(q.NotFound)
	p.number(int64(len(q.digests) + len(q.Chain)))
	for _, digest := range q.digests {
		*p = append(*p, digest[:]...)
	}
	for _, der := range q.Chain {
		digest := sha256.Sum256(der)
		*p = append(*p, digest[:]...)
	}
}

// unpacker takes out one after the other what a packer has put in.
type unpacker struct{ rest memo }

func (u *unpacker) take(n int64) string {
	s := u.rest[:n]
	u.rest = u.rest[n:]
	return string(s)
}

func (u *unpacker) number() int64 {
	// binary.Varint is for bytes; what is packed here is mostly short.
	var n uint64
	for shift := 0; ; shift += 7 {
		b := u.rest[0]
		u.rest = u.rest[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(n>>1) ^ -int64(n&1)
		}
	}
}

// text is a part of the memo: it keeps that whole, as the memo is kept anyway.
func (u *unpacker) text() string { return u.take(u.number()) }

func (u *unpacker) texts() []string {
	n := u.number()
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = u.text()
	}
	return list
}

func (u *unpacker) flag() bool { return u.number() != 0 }

func (u *unpacker) instant() time.Time {
	if !u.flag() {
		return time.Time{}
	}
	seconds := u.number()
	return time.Unix(seconds, u.number()).UTC()
}

func (u *unpacker) previous() *Previous {
	q := &Previous{
		Reference: u.text(), CoverageEnd: u.instant(), Bought: u.instant(), Names: u.texts(), Inspected: u.instant(), Held: u.texts(),
		Gone: u.text(), RenewedBy: u.text(), NotFound: u.flag(),
	}
	q.digests = make([][sha256.Size]byte, u.number())
	for i := range q.digests {
		copy(q.digests[i][:], u.take(sha256.Size))
	}
	return q
}
