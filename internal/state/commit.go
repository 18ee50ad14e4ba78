package state

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// committer makes one transaction of all writes that come while another is under way: each costs two calls of fsync, and
// a thousand orders that are stepped side by side share them. A write that comes alone waits for nobody.
type committer struct {
	db *bbolt.DB

	mu      sync.Mutex
	leading bool // somebody is committing, or has been told to
	many    bool // the last transaction was of many writes
	waiting []*write
}

// While many orders run the processor is what is short, and a transaction takes as much of it as three writes. So one that follows a
// transaction of at least so many writes waits for more.
const (
	crowd  = 3
	gather = 2 * time.Millisecond
)

// errGivenUp says that a transaction panicked: nothing of it is there.
var errGivenUp = errors.New("the transaction was given up")

// write is one call of Write.
type write struct {
	bucket  string
	records map[string][]byte
	answer  chan answer // of one element
}

// answer is the outcome of a write, or the word that its caller is to commit what waits, its own write included.
type answer struct {
	err  error
	lead bool
}

// write returns when the records are durable, or nothing of them is there.
func (c *committer) write(bucket string, records map[string][]byte) error {
	w := &write{bucket: bucket, records: records, answer: make(chan answer, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, w)
	lead := !c.leading
	c.leading = true
	c.mu.Unlock()
	if lead {
		c.lead()
	}
	for {
		a := <-w.answer
		if !a.lead {
			return a.err
		}
		c.lead()
	}
}

// lead commits what waits and hands the lead to the first of those that came meanwhile: nobody commits for others
// longer than one transaction takes. Whoever is about to write gets the processor first, so that he is in it.
func (c *committer) lead() {
	c.mu.Lock()
	many := c.many
	c.mu.Unlock()
	if many {
		<-time.After(gather)
	} else {
		runtime.Gosched()
	}
	c.mu.Lock()
	batch := c.waiting
	c.waiting, c.many = nil, len(batch) >= crowd
	c.mu.Unlock()

	defer func() { // also when bbolt panics: whoever waits must not wait for ever
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.waiting) == 0 {
			c.leading = false
			return
		}
		c.waiting[0].answer <- answer{lead: true}
	}()
	c.commit(batch)
}

func (c *committer) commit(batch []*write) {
	answered := 0
	defer func() {
		for _, w := range batch[answered:] {
			w.answer <- answer{err: errGivenUp}
		}
	}()
	err := c.apply(batch)
	for i, w := range batch {
		own := err
		if err != nil && len(batch) > 1 { // one write that cannot be must not take the others along
			own = c.apply(batch[i : i+1])
		}
		w.answer <- answer{err: own}
		answered++
	}
}

// apply makes one durable transaction of some writes.
func (c *committer) apply(batch []*write) error {
	return c.db.Update(func(tx *bbolt.Tx) error {
		for _, w := range batch {
			b, err := tx.CreateBucketIfNotExists([]byte(w.bucket))
			if err != nil {
				return err
			}
			for key, value := range w.records {
				if value == nil {
					err = b.Delete([]byte(key))
				} else {
					err = b.Put([]byte(key), value)
				}
				if err != nil {
					return fmt.Errorf("record %q: %w", key, err)
				}
			}
		}
		return nil
	})
}
