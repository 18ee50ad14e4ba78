package certstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Journal keeps the store's records. What one Write takes survives a power cut in full once it returns nil, and is not
// there at all otherwise; the store still copes with one that took place and yet failed.
type Journal interface {
	// Write makes one transaction of some records. A nil value deletes its record.
	Write(records map[string][]byte) error
	// Read returns one record, or nil when there is none.
	Read(key string) ([]byte, error)
	// Each visits the records in the order of their keys. An error ends the walk and is returned.
	Each(visit func(key string, value []byte) error) error
}

// The records, by the beginnings of their keys. What is under way sorts first, so that finding it at a start costs the same
// however many certificates there are.
const (
	busyPrefix    = "busy/"    // CERTIFICATE: a switch or a roll-back of it is under way; the record is empty
	copyPrefix    = "copy/"    // CERTIFICATE/SEQUENCE/N: the N-th file as it was before a generation
	historyPrefix = "history/" // CERTIFICATE: its generations
)

// historyVersion is the version of the record's form.
const historyVersion = 1

// keptGenerations is how many generations of a certificate are kept, so that what was proven is known to be.
const keptGenerations = 3

// history is the generations of one certificate, the oldest first. It holds no secrets.
type history struct {
	Version     int         `json:"version"`
	Certificate string      `json:"certificate"`
	Generations []*manifest `json:"generations"`
}

// decodeHistory reads a record and checks whatever later steps rely on, since it decides what is overwritten.
func decodeHistory(data []byte) (*history, error) {
	var h history
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, err
	}
	if h.Version != historyVersion {
		return nil, fmt.Errorf("version %d, but this program knows only %d", h.Version, historyVersion)
	}
	last := 0
	for _, m := range h.Generations {
		if m == nil || m.Sequence <= last {
			return nil, errors.New("generations are missing or out of order")
		}
		last = m.Sequence
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("generation %q: %w", m.ID, err)
		}
	}
	return &h, nil
}

// find returns the latest generation with an id, or nil.
func (h *history) find(id string) *manifest {
	for _, m := range slices.Backward(h.Generations) {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// lastInstalled returns the generation whose files are in place, as far as the store knows, or nil.
func (h *history) lastInstalled() *manifest {
	for _, m := range slices.Backward(h.Generations) {
		if m.Phase == switched || m.Phase == committed {
			return m
		}
	}
	return nil
}

func (h *history) next() int {
	if len(h.Generations) == 0 {
		return 1
	}
	return h.Generations[len(h.Generations)-1].Sequence + 1
}

// interrupted are the generations that a crash or a failure left half-way.
func (h *history) interrupted() []*manifest {
	var out []*manifest
	for _, m := range h.Generations {
		if !m.settled() {
			out = append(out, m)
		}
	}
	return out
}

// drop takes a generation out.
func (h *history) drop(m *manifest) {
	h.Generations = slices.DeleteFunc(h.Generations, func(other *manifest) bool { return other == m })
}

// prune drops all but the last generations. One that could still be rolled back stays.
func (h *history) prune() {
	for i := 0; i < len(h.Generations)-keptGenerations; {
		if m := h.Generations[i]; m.Phase == committed || m.Phase == rolledBack {
			h.drop(m)
		} else {
			i++
		}
	}
}

// history reads the generations of a certificate, whose turn the caller has. What was saved a moment ago is not read from the
// journal: it is handed over, and kept anew by save.
func (s *Store) history(certificate string) (*history, error) {
	if open := s.takeOpen(certificate); open != nil {
		return open, nil
	}
	data, err := s.journal.Read(historyPrefix + certificate)
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	if data == nil {
		return &history{Version: historyVersion, Certificate: certificate}, nil
	}
	h, err := decodeHistory(data)
	if err != nil {
		return nil, fmt.Errorf("read generations: %w", err)
	}
	if h.Certificate != certificate {
		return nil, fmt.Errorf("read generations: the record belongs to certificate %q", h.Certificate)
	}
	return h, nil
}

// save makes what a certificate's generations are now durable, together with copies of old files that come or, being
// nil, go.
func (s *Store) save(h *history, copies map[string][]byte) error {
	s.takeOpen(h.Certificate) // it is not what the journal has any more
	h.prune()
	records := make(map[string][]byte, len(copies)+2)
	for key, data := range copies {
		records[key] = data
	}
	records[busyPrefix+h.Certificate] = nil
	if len(h.interrupted()) > 0 {
		records[busyPrefix+h.Certificate] = []byte{}
	}
	records[historyPrefix+h.Certificate] = nil
	if len(h.Generations) > 0 {
		data, err := json.Marshal(h)
		if err != nil {
			return fmt.Errorf("note the generations: %w", err)
		}
		records[historyPrefix+h.Certificate] = data
	}
	if err := s.disk.step("journal", h.Certificate); err != nil {
		return fmt.Errorf("note the generations: %w", err)
	}
	if err := s.journal.Write(records); err != nil {
		return fmt.Errorf("note the generations: %w", err)
	}
	s.keep(h)
	return nil
}

// mostOpen bounds what is kept of installations that nobody proves or takes back.
const mostOpen = 256

// keep keeps what was just saved for the step that follows: proving the last generation, or taking it back.
func (s *Store) keep(h *history) {
	if len(h.Generations) == 0 || h.Generations[len(h.Generations)-1].Phase != switched {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= mostOpen {
		clear(s.open)
	}
	s.open[h.Certificate] = h
}

// takeOpen returns what was kept, if anything was, and keeps it no more.
func (s *Store) takeOpen(certificate string) *history {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := s.open[certificate]
	delete(s.open, certificate)
	return open
}

// errEnough ends a walk.
var errEnough = errors.New("enough was seen")

// busy lists the certificates that something is under way for.
func (s *Store) busy() ([]string, error) {
	var out []string
	err := s.journal.Each(func(key string, _ []byte) error {
		certificate, ok := strings.CutPrefix(key, busyPrefix)
		if !ok {
			return errEnough
		}
		out = append(out, certificate)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("look for interrupted generations: %w", err)
	}
	return out, nil
}
