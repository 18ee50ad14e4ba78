// Package state keeps named byte records in one bbolt file: durable transactions and nothing else.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("in use by another process: is certbridged running already?")

// lockWait is how long Open waits for the file's lock: long enough for a predecessor that is just stopping, short
// enough that a second daemon is told at once.
const lockWait = 3 * time.Second

// pageSize is that of a new file, in bytes; a file keeps what it was made with. Most leaves hold two or three records of a few KB:
// as one page of this size each they take a seventh less of the processor than as two or three of the system's usual 4096.
const pageSize = 8192

// Store is an open file of records.
type Store struct {
	db      *bbolt.DB
	commits *committer
}

// Open opens the file at path and makes it, readable by its owner alone, when there is none. The folder must exist.
// While a Store is open no other process can open the file: it then gets ErrLocked.
func Open(path string) (*Store, error) {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	db, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	if err := refuseShared(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Store{db: db, commits: &committer{db: db}}, nil
}

// ErrDamaged says that a file is not what the daemon wrote, or no longer.
var ErrDamaged = errors.New("not a state file or damaged, put back a backup")

// openFile opens the file and walks all of it once: a page that is damaged is found now and not in the middle of an
// order. bbolt panics on some of them.
func openFile(path string) (db *bbolt.DB, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, fault)
			if db != nil {
				err = errors.Join(err, db.Close())
			}
			db = nil
		}
	}()
	_, missing := os.Stat(path)
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait, FreelistType: bbolt.FreelistMapType, PageSize: max(pageSize, os.Getpagesize()),
	})
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, fs.ErrPermission):
		return nil, err
	case err != nil && missing == nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	case err != nil:
		return nil, err
	}
	if err = db.View(check); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// check walks all pages.
func check(tx *bbolt.Tx) error {
	defer giveBack(tx)
	now := time.NewTicker(giveBackEvery)
	defer now.Stop()
	faults := tx.Check()
	for {
		select {
		case fault, ok := <-faults:
			if !ok {
				return nil
			}
			return fmt.Errorf("%w: %w", ErrDamaged, fault)
		case <-now.C:
			giveBack(tx)
		}
	}
}

// refuseShared refuses a state file that others may read: it holds private keys of orders in flight.
func refuseShared(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	if info.Mode().Perm()&fs.FileMode(0o077) != 0 {
		return fmt.Errorf("open state %s: mode %#o lets others read private keys; chmod 600 it", path, info.Mode().Perm())
	}
	return nil
}

// Close waits for transactions under way and closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Write puts records into a bucket in one durable transaction: when it returns nil, all of them survive a power cut;
// otherwise none has changed. A nil value deletes its record. Concurrent calls share a transaction's cost, and keep their
// outcomes apart.
func (s *Store) Write(bucket string, records map[string][]byte) error {
	if err := s.commits.write(bucket, records); err != nil {
		return fmt.Errorf("write state %s: %w", bucket, err)
	}
	return nil
}

// Read returns one record, or nil when there is none.
func (s *Store) Read(bucket, key string) ([]byte, error) {
	var value []byte
	err := s.db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket([]byte(bucket)); b != nil {
			if v := b.Get([]byte(key)); v != nil {
				value = append([]byte{}, v...)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read state %s %q: %w", bucket, key, err)
	}
	return value, nil
}

// Each visits the records of a bucket in the order of their keys, as they were at one instant. The value is valid
// during the visit only. An error ends the walk and is returned as it is.
func (s *Store) Each(bucket string, visit func(key string, value []byte) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		defer giveBack(tx)
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		held := 0
		return b.ForEach(func(k, v []byte) error {
			if held += len(k) + len(v); held >= giveBackBytes {
				held = 0
				giveBack(tx)
			}
			return visit(string(k), v)
		})
	})
}

// Backup writes a consistent copy of the whole file to path while the store is in use. The copy appears whole or not
// at all.
func (s *Store) Backup(path string) error {
	tmp := path + ".part"
	err := s.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(tmp, 0o600) })
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return fmt.Errorf("back up state: %w", errors.Join(err, removeIfThere(tmp)))
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
