package certstore

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a key with its chain.
type pair struct {
	key   crypto.Signer
	chain []*x509.Certificate
}

// newPair makes a key and a chain of leaf and intermediate.
func newPair(t testing.TB, names ...string) pair {
	t.Helper()
	caKey, key := newKey(t), newKey(t)
	ca := sign(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		Issuer: pkix.Name{CommonName: "test root"},
	}, nil, caKey.Public(), newKey(t))
	if len(names) == 0 {
		names = []string{"example.com"}
	}
	leaf := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, ca, key.Public(), caKey)
	return pair{key, []*x509.Certificate{leaf, ca}}
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := cert.GenerateKey(cert.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	if parent == nil {
		parent = &x509.Certificate{Subject: template.Issuer}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// memory is a journal that lives as long as the test, as a file outlives the process that writes it.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte
	// answer is what a write that took place returns; nil means success.
	answer func() error
}

func newMemory() *memory { return &memory{records: make(map[string][]byte)} }

func (j *memory) Write(records map[string][]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, value := range records {
		if value == nil {
			delete(j.records, key)
		} else {
			j.records[key] = bytes.Clone(value)
		}
	}
	if j.answer != nil {
		return j.answer()
	}
	return nil
}

func (j *memory) Read(key string) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.records[key]), nil
}

func (j *memory) Each(visit func(key string, value []byte) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(j.records)) {
		if err := visit(key, j.records[key]); err != nil {
			return err
		}
	}
	return nil
}

// keys are those of all records that begin in one way.
func (j *memory) keys(prefix string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for key := range j.records {
		if strings.HasPrefix(key, prefix) {
			out = append(out, key)
		}
	}
	return out
}

// openStore opens the store as a new process would.
func openStore(j *memory) *Store { return Open(j, slog.New(slog.DiscardHandler)) }

func newStore(testing.TB) *Store { return openStore(newMemory()) }

// generation makes a generation of a pair.
func (p pair) generation(id string, files ...File) Generation {
	return Generation{ID: id, Certificate: "shop", Files: files, Key: p.key, Chain: p.chain}
}

// separate are the two files nginx wants.
func separate(dir string) []File {
	return []File{{Form: Fullchain, Path: filepath.Join(dir, "shop.pem")}, {Form: Key, Path: filepath.Join(dir, "shop.key")}}
}

// everyForm is one file of each form.
func everyForm(dir string) []File {
	var files []File
	for _, form := range Forms() {
		f := File{Form: form, Path: filepath.Join(dir, "shop."+string(form))}
		if form == PKCS12 || form == JKS {
			f.Password = pluginapi.NewSecret("correct horse")
		}
		files = append(files, f)
	}
	return files
}

func install(t testing.TB, s *Store, g Generation) {
	t.Helper()
	if err := s.Install(t.Context(), g); err != nil {
		t.Fatal(err)
	}
}

// holds checks that the files hold a pair and nothing is wrong with them.
func holds(t testing.TB, s *Store, files []File, want pair) {
	t.Helper()
	snap, err := s.Read(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := snap.Err(); err != nil {
		t.Fatalf("the set has problems: %v", err)
	}
	if !bytes.Equal(cert.EncodeChain(snap.Chain), cert.EncodeChain(want.chain)) {
		t.Fatal("the files hold another chain")
	}
	if !snap.KeyPresent || !snap.KeyMatches {
		t.Fatalf("key present %t, matches %t", snap.KeyPresent, snap.KeyMatches)
	}
	key, err := s.Key(files)
	if err != nil {
		t.Fatal(err)
	}
	if !cert.SamePublicKey(key.Public(), want.key.Public()) {
		t.Fatal("the files hold another key")
	}
}

// tree describes everything below a folder: what exists, with mode and content.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s -> %s\n", name, target)
		case d.Type().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s %v %s\n", name, info.Mode(), sumOf(data))
		default:
			fmt.Fprintf(&b, "%s %v\n", name, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// noLeftovers checks that no staged file lies about.
func noLeftovers(t testing.TB, dir string) {
	t.Helper()
	if all := tree(t, dir); strings.Contains(all, tempPrefix) {
		t.Fatalf("a staged file is left:\n%s", all)
	}
}

// memoryDir is a temporary folder in memory where the machine has one: the tests with thousands of syncs need no disk.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "certstore")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func writeFile(t testing.TB, path string, data []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// needRoot skips a test that only root can do; under CI it fails it.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this test needs root")
	}
	t.Skip("SKIP: this test needs root")
}
