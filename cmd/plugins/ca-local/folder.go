package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// recordVersion is raised when an order record changes in a way that an older plugin would misread.
const recordVersion = 1

// record is one order as the folder keeps it.
type record struct {
	Version     int                    `json:"version"`
	Key         string                 `json:"idempotency_key"`
	Kind        string                 `json:"kind"`
	Previous    string                 `json:"previous,omitempty"`
	CSR         []byte                 `json:"csr"`
	Names       []pluginapi.Identifier `json:"names"`
	Certificate string                 `json:"certificate_name,omitempty"`
	Created     time.Time              `json:"created"`
	Lifetime    time.Duration          `json:"lifetime_ns"`
	CoverageEnd time.Time              `json:"coverage_end,omitzero"`
	Tokens      map[string]string      `json:"tokens,omitempty"` // by name
	Proof       string                 `json:"proof"`
	Valid       map[string]bool        `json:"valid,omitempty"`
	Answered    map[string]bool        `json:"answered,omitempty"`
	Canceled    bool                   `json:"canceled,omitempty"`
	Chain       [][]byte               `json:"chain,omitempty"`

	request *x509.CertificateRequest // what CSR says, once somebody has asked
}

// parsed is what the order's CSR says.
func (r *record) parsed() (*x509.CertificateRequest, error) {
	if r.request == nil {
		csr, err := x509.ParseCertificateRequest(r.CSR)
		if err != nil {
			return nil, fmt.Errorf("read request: %w", err)
		}
		r.request = csr
	}
	return r.request, nil
}

// folder is the CA's place on disk:
//
//	ca/root.pem ca/root.key ca/issuer.pem ca/issuer.key   made together, once
//	orders/KEY.json                                       one order
//	revoked/SERIAL.json                                   one revocation; crl.pem and crl.der list them all
//	lock                                                  a part of it is held while an order or the list changes
//	serials/SERIAL                                        the KEY of an order, of certificates from older versions
type folder string

func (d folder) path(parts ...string) string {
	return filepath.Join(append([]string{string(d)}, parts...)...)
}

func (d folder) order(key string) string { return d.path("orders", key+".json") }

// load reads an order; errors.Is(err, fs.ErrNotExist) holds when there is none.
func (d folder) load(key string) (*record, error) {
	text, err := os.ReadFile(d.order(key))
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", d.order(key), err)
	}
	if r.Version != recordVersion || r.Key != key {
		return nil, fmt.Errorf("read %s: version %d of order %q is not one this plugin can read", d.order(key), r.Version, r.Key)
	}
	if r.Valid == nil { // empty maps are left out of the file
		r.Valid = make(map[string]bool)
	}
	if r.Answered == nil {
		r.Answered = make(map[string]bool)
	}
	return &r, nil
}

func (d folder) save(r *record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode order: %w", err)
	}
	return d.write(append(text, '\n'), 0o600, "orders", r.Key+".json")
}

// write puts a file in place so that a reader, and a machine that loses power, has the old one or the new one.
func (d folder) write(content []byte, mode fs.FileMode, parts ...string) error {
	final := d.path(parts...)
	if err := os.MkdirAll(filepath.Dir(final), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(final), ".new-*")
	if err != nil {
		return err
	}
	placed := false
	defer func() {
		if !placed {
			_ = os.Remove(f.Name())
		}
	}()
	if err := fill(f, content, mode); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), final); err != nil {
		return err
	}
	placed = true
	return syncDir(filepath.Dir(final))
}

func fill(f *os.File, content []byte, mode fs.FileMode) error {
	_, err := f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// diskError is for a fault of the folder: nothing was done, and it may pass.
func diskError(err error) error {
	return pluginapi.Errorf(pluginapi.Unavailable, "the CA's folder: %w", err)
}
