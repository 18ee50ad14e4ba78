package order

import (
	"crypto/sha256"
	"time"
	"unique"

	"github.com/certbridge/certbridged/internal/packed"
)

// memo is a history as it is kept in memory, packed: there is one for each certificate, and at rest nobody looks at it for
// months. The chain and the plugin's state of the last order are not in it; digests stand for the chain.
type memo string

// pack makes a memo of a history.
func (h History) pack() memo {
	var p packed.Writer
	p.Text(h.Certificate)
	p.Text(h.Account)
	p.Flag(h.Last != nil)
	if h.Last != nil {
		packPrevious(&p, h.Last)
	}
	p.Number(int64(h.Failures))
	p.Time(h.RetryAt)
	p.Text(h.LastFailure)
	p.Flag(h.FailedPaid)
	p.Text(h.RevokedSerial)
	p.Flag(h.Window != nil)
	if w := h.Window; w != nil {
		p.Text(w.Serial)
		p.Time(w.Start)
		p.Time(w.End)
		p.Text(w.ExplanationURL)
		p.Time(w.LookAt)
	}
	p.Flag(h.Deploy != nil)
	if d := h.Deploy; d != nil {
		p.Flag(d.OK)
		p.Text(d.Stage)
		p.Text(d.Message)
		p.Text(d.Output)
		p.Number(int64(d.ExitCode))
		p.Time(d.At)
		p.Number(int64(d.Took))
		p.Flag(d.RolledBack)
	}
	p.Time(h.DeployedAt)
	return memo(p)
}

// history is the opposite of History.pack. It trusts in a memo's being made there.
func (m memo) history() History {
	u := packed.Reader(m)
	h := History{Certificate: u.Text(), Account: unique.Make(u.Text()).Value()} // thousands of certificates share a few
	if u.Flag() {
		h.Last = unpackPrevious(&u)
	}
	h.Failures, h.RetryAt, h.LastFailure = int(u.Number()), u.Time(), u.Text()
	h.FailedPaid, h.RevokedSerial = u.Flag(), u.Text()
	if u.Flag() {
		h.Window = &Window{Serial: u.Text(), Start: u.Time(), End: u.Time(), ExplanationURL: u.Text(), LookAt: u.Time()}
	}
	if u.Flag() {
		h.Deploy = &Deployment{
			OK: u.Flag(), Stage: u.Text(), Message: u.Text(), Output: u.Text(), ExitCode: int(u.Number()), At: u.Time(),
			Took: time.Duration(u.Number()), RolledBack: u.Flag(),
		}
	}
	h.DeployedAt = u.Time()
	return h
}

func packPrevious(p *packed.Writer, q *Previous) {
	p.Text(q.Reference)
	p.Time(q.CoverageEnd)
	p.Time(q.Bought)
	p.Texts(q.Names)
	p.Time(q.Inspected)
	p.Texts(q.Held)
	p.Text(q.Gone)
	p.Text(q.RenewedBy)
	p.Flag(q.NotFound)
	p.Number(int64(len(q.digests) + len(q.Chain)))
	for _, digest := range q.digests {
		p.Bytes(digest[:])
	}
	for _, der := range q.Chain {
		digest := sha256.Sum256(der)
		p.Bytes(digest[:])
	}
}

func unpackPrevious(u *packed.Reader) *Previous {
	q := &Previous{
		Reference: u.Text(), CoverageEnd: u.Time(), Bought: u.Time(), Names: u.Texts(), Inspected: u.Time(), Held: u.Texts(),
		Gone: u.Text(), RenewedBy: u.Text(), NotFound: u.Flag(),
	}
	q.digests = make([][sha256.Size]byte, u.Number())
	for i := range q.digests {
		copy(q.digests[i][:], u.Bytes(sha256.Size))
	}
	return q
}
