package certstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// age sets back the times of files, so that they count as long unchanged.
func age(t testing.TB, files []File) {
	t.Helper()
	long := time.Now().Add(-time.Hour)
	for _, f := range files {
		if err := os.Chtimes(f.Path, long, long); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnchangedSetIsNotReadAgain makes the files unreadable in substance while they look the same to stat.
func TestUnchangedSetIsNotReadAgain(t *testing.T) {
	dir := t.TempDir()
	s, files, p := newStore(t), everyForm(dir), newPair(t)
	install(t, s, p.generation("1", files...))
	age(t, files)
	first, err := s.Look(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	times := make([]time.Time, len(files))
	for i, f := range files {
		info, err := os.Stat(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		times[i] = info.ModTime()
		garbage, err := os.OpenFile(f.Path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := garbage.Write(make([]byte, info.Size())); err != nil {
			t.Fatal(err)
		}
		if err := garbage.Close(); err != nil {
			t.Fatal(err)
		}
	}
	age(t, files)
	// Times to the nanosecond, as the first reading saw them.
	for i, f := range files {
		if err := os.Chtimes(f.Path, times[i], times[i]); err != nil {
			t.Fatal(err)
		}
	}
	second, err := s.Look(files, first)
	if err != nil {
		t.Fatal(err)
	}
	if second != first || !second.Whole {
		t.Errorf("the files were read again: %v", second.Snapshot().Err())
	}
	age(t, files[:1])
	if err := os.Chmod(files[0].Path, 0o640); err != nil {
		t.Fatal(err)
	}
	third, err := s.Look(files, second)
	if err != nil {
		t.Fatal(err)
	}
	if third.Whole || third.Snapshot().Files[0].Problem == nil {
		t.Error("a change was not noticed")
	}
}

// TestLookDependsOnTheFilesAskedFor: other files, or the same ones read in another way, are another question.
func TestLookDependsOnTheFilesAskedFor(t *testing.T) {
	dir := t.TempDir()
	s, files, p := newStore(t), separate(dir), newPair(t)
	install(t, s, p.generation("1", files...))
	age(t, files)
	first, err := s.Look(files, nil)
	if err != nil || !first.Whole || first.Leaf().Serial != cert.Serial(p.chain[0]) || first.Leaf().Fingerprint() != cert.Fingerprint(p.chain[0]) {
		t.Fatalf("%+v, %v", first, err)
	}
	other := slices.Clone(files)
	other[0].Form = Key
	second, err := s.Look(other, first)
	if err != nil {
		t.Fatal(err)
	}
	if second == first || second.Whole {
		t.Error("the certificate passes for a key")
	}
	if err := os.Remove(files[0].Path); err != nil {
		t.Fatal(err)
	}
	gone, err := s.Look(files, first)
	if err != nil {
		t.Fatal(err)
	}
	if gone == first || gone.Whole || !errors.Is(gone.Snapshot().Files[0].Problem, fs.ErrNotExist) {
		t.Error("a file that is gone was not missed")
	}
	if still, err := s.Look(files, gone); err != nil || still != gone {
		t.Errorf("what is still gone was looked at again: %v", err)
	}
}

// TestFreshChangeIsNoticed rewrites a file in place, with the same size and the same times, right after it was read.
func TestFreshChangeIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s, p := newStore(t), newPair(t)
	files := separate(dir)
	install(t, s, p.generation("1", files...))
	view, err := s.Look(files, nil)
	if err != nil || !view.Whole {
		t.Fatal(err)
	}
	info, err := os.Stat(files[1].Path)
	if err != nil {
		t.Fatal(err)
	}
	data, err := cert.EncodeKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != info.Size() {
		t.Fatalf("%d bytes, not %d", len(data), info.Size())
	}
	if err := os.WriteFile(files[1].Path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(files[1].Path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if view, err = s.Look(files, view); err != nil {
		t.Fatal(err)
	}
	if view.Whole {
		t.Error("the new key was not noticed")
	}
}

func TestReadProblems(t *testing.T) {
	p, q := newPair(t), newPair(t)
	chainPEM := cert.EncodeChain(p.chain)
	tests := map[string]struct {
		spoil       func(t *testing.T, files []File) []File
		want        string
		leaf        bool
		key, match  bool
		notExisting bool
	}{
		"nothing there": {spoil: func(t *testing.T, files []File) []File {
			for _, f := range files {
				if err := os.Remove(f.Path); err != nil {
					t.Fatal(err)
				}
			}
			return files
		}, want: "no such file", notExisting: true},
		"key lost": {spoil: func(t *testing.T, files []File) []File {
			if err := os.Remove(files[1].Path); err != nil {
				t.Fatal(err)
			}
			return files
		}, want: "shop.key: no such file", leaf: true, notExisting: true},
		"key of another": {spoil: func(t *testing.T, files []File) []File {
			data, err := cert.EncodeKey(q.key)
			if err != nil {
				t.Fatal(err)
			}
			writeFile(t, files[1].Path, data, 0o600)
			return files
		}, want: "does not belong to the certificate", leaf: true, key: true},
		"leaf after another": {spoil: func(t *testing.T, files []File) []File {
			writeFile(t, files[0].Path, append(cert.EncodeChain(q.chain[:1]), chainPEM...), 0o644)
			return files
		}, want: "certificate 2 of the chain is the one of the private key", leaf: true, key: true},
		"damaged": {spoil: func(t *testing.T, files []File) []File {
			writeFile(t, files[0].Path, chainPEM[:len(chainPEM)-50], 0o644)
			return files
		}, want: "shop.pem: PEM block 2 (CERTIFICATE) at line", leaf: true, key: true, match: true},
		"empty": {spoil: func(t *testing.T, files []File) []File {
			writeFile(t, files[0].Path, nil, 0o644)
			return files
		}, want: "there is no certificate in it", key: true},
		"key where the chain should be": {spoil: func(t *testing.T, files []File) []File {
			writeFile(t, files[1].Path, chainPEM, 0o600)
			return files
		}, want: "there is no private key in it", leaf: true},
		"two certificates": {spoil: func(t *testing.T, files []File) []File {
			other := File{Form: Cert, Path: files[0].Path + "2"}
			writeFile(t, other.Path, cert.EncodeChain(q.chain[:1]), 0o644)
			return append(files, other)
		}, want: "hold different certificates", leaf: true, key: true, match: true},
		"a pipe": {spoil: func(t *testing.T, files []File) []File {
			if err := os.Remove(files[0].Path); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mkfifo(files[0].Path, 0o600); err != nil {
				t.Fatal(err)
			}
			return files
		}, want: "not a regular file", key: true},
		"far too large": {spoil: func(t *testing.T, files []File) []File {
			if err := os.Truncate(files[0].Path, maxFileSize+1); err != nil {
				t.Fatal(err)
			}
			return files
		}, want: "not a certificate file", key: true},
		"wrong password": {spoil: func(t *testing.T, files []File) []File {
			data, err := cert.EncodePKCS12(p.key, p.chain, "correct horse")
			if err != nil {
				t.Fatal(err)
			}
			store := File{Form: PKCS12, Path: files[0].Path + ".p12", Password: pluginapi.NewSecret("hunter2")}
			writeFile(t, store.Path, data, 0o600)
			return append(files, store)
		}, want: "wrong password, or damaged", leaf: true, key: true, match: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, files := newStore(t), separate(t.TempDir())
			install(t, s, p.generation("1", files...))
			files = tt.spoil(t, files)
			snap, err := s.Read(files)
			if err != nil {
				t.Fatal(err)
			}
			problem := snap.Err()
			if problem == nil || !strings.Contains(problem.Error(), tt.want) {
				t.Errorf("problem %v, want %q in it", problem, tt.want)
			}
			if errors.Is(problem, fs.ErrNotExist) != tt.notExisting {
				t.Errorf("is it missing? %v", problem)
			}
			if strings.Contains(fmt.Sprintf("%v %+v", problem, snap), "hunter2") {
				t.Error("the password is shown")
			}
			if (snap.Leaf() != nil) != tt.leaf || snap.KeyPresent != tt.key || snap.KeyMatches != tt.match {
				t.Errorf("leaf %t, key %t, match %t", snap.Leaf() != nil, snap.KeyPresent, snap.KeyMatches)
			}
		})
	}
	if _, err := newStore(t).Read([]File{{Form: Cert, Path: "relative"}}); err == nil {
		t.Error("a relative path was read")
	}
	if _, err := newStore(t).Key(separate(t.TempDir())); err == nil || !strings.Contains(err.Error(), "no file has one") {
		t.Errorf("Key without a file: %v", err)
	}
}

func TestChainIsPutTogether(t *testing.T) {
	dir := t.TempDir()
	s, p := newStore(t), newPair(t)
	files := []File{
		{Form: Chain, Path: filepath.Join(dir, "chain.pem")}, {Form: Cert, Path: filepath.Join(dir, "cert.pem")},
		{Form: Key, Path: filepath.Join(dir, "key.pem")},
	}
	install(t, s, p.generation("1", files...))
	holds(t, s, files, p)
	install(t, s, p.generation("2", append(files, File{Form: DER, Path: filepath.Join(dir, "cert.der")})...))
	holds(t, s, append(files, File{Form: DER, Path: filepath.Join(dir, "cert.der")}), p)
}

func TestInspectAndGather(t *testing.T) {
	dir := t.TempDir()
	s, p, q := newStore(t), newPair(t, "shop.example.com", "www.example.com"), newPair(t, "other.example.com")
	files := everyForm(dir)
	install(t, s, p.generation("1", files...))
	others := separate(t.TempDir())
	install(t, s, Generation{ID: "1", Certificate: "other", Files: others, Key: q.key, Chain: q.chain})
	var all []Found
	for _, f := range append(files, others...) {
		found, err := Inspect(f.Path, f.Password)
		if err != nil {
			t.Fatal(err)
		}
		if found.Form != f.Form || found.NeedsPassword {
			t.Errorf("%s: found %s, needs password %t", f.Path, found.Form, found.NeedsPassword)
		}
		if f.Form.hasLeaf() && strings.HasPrefix(f.Path, dir) && strings.Join(found.Names, " ") != "shop.example.com www.example.com" {
			t.Errorf("%s: names %q", f.Path, found.Names)
		}
		if f.Form != Chain && found.KeyType != cert.ECDSAP256 {
			t.Errorf("%s: key type %q", f.Path, found.KeyType)
		}
		if f.Form.HasKey() && found.Mode != 0o600 {
			t.Errorf("%s: mode %04o", f.Path, found.Mode)
		}
		all = append(all, found)
	}
	for _, f := range files {
		if f.Form != PKCS12 && f.Form != JKS {
			continue
		}
		found, err := Inspect(f.Path, pluginapi.Secret{})
		if err != nil || !found.NeedsPassword || found.Form != f.Form {
			t.Errorf("%s without password: %+v, %v", f.Form, found, err)
		}
		all = append(all, found)
		if _, err := Inspect(f.Path, pluginapi.NewSecret("wrong password")); !errors.Is(err, cert.ErrKeystore) {
			t.Errorf("%s with a wrong password: %v", f.Form, err)
		}
	}
	sets, apart := Gather(all)
	if len(sets) != 2 || len(sets[0].Files) != len(files) || len(sets[1].Files) != 2 || !sets[0].HasKey || !sets[1].HasKey {
		t.Errorf("sets %+v", sets)
	}
	if len(apart) != 2 {
		t.Errorf("%d files apart, want the two keystores without password", len(apart))
	}
}

func TestInspectRefusals(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"text":    {[]byte("hello"), "neither PEM nor DER"},
		"request": {[]byte("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"), "without a certificate or private key"},
		"der":     {[]byte{0x30, 0x03, 2, 1, 7}, "neither a certificate nor a private key"},
		"jceks":   {[]byte{0xce, 0xce, 0xce, 0xce}, "keytool -importkeystore"},
	} {
		path := filepath.Join(dir, name)
		writeFile(t, path, tt.data, 0o600)
		if _, err := Inspect(path, pluginapi.Secret{}); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Inspect(filepath.Join(dir, "none"), pluginapi.Secret{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func BenchmarkReadUnchanged(b *testing.B) {
	dir := b.TempDir()
	s, files := newStore(b), separate(dir)
	install(b, s, newPair(b).generation("1", files...))
	age(b, files)
	var view *View
	for b.Loop() {
		var err error
		if view, err = s.Look(files, view); err != nil {
			b.Fatal(err)
		}
	}
}
