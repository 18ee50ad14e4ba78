package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

// Who asks for the hash of a file while it is being hashed waits for that, unless it is compared with a pin.
func TestAFileIsHashedOnceForAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca-test")
	must(t, os.WriteFile(path, []byte("x"), 0o755))
	file, err := os.Open(path)
	must(t, err)
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	must(t, err)
	synctest.Test(t, func(t *testing.T) {
		x := &executable{file: file, real: path, id: identityOf(info)}
		under := newFlight[string]()
		f := &folder{sums: map[identity]string{}, hashing: map[identity]*flight[string]{x.id: under}}
		answers := make(chan string, 2)
		for range cap(answers) {
			go func() {
				sum, _ := f.sum(x, false)
				answers <- sum
			}()
		}
		synctest.Wait()
		if len(answers) > 0 {
			t.Error("it was hashed twice")
		}
		whole := sha256.Sum256([]byte("x"))
		want := hex.EncodeToString(whole[:])
		if sum, err := f.sum(x, true); err != nil || sum != want {
			t.Errorf("for a pin: %s, %v", sum, err)
		}
		under.finish("as the other found", nil)
		for range cap(answers) {
			if sum := <-answers; sum != "as the other found" {
				t.Errorf("got %s", sum)
			}
		}
		delete(f.hashing, x.id)
		clear(f.sums)
		if sum, err := f.sum(x, false); err != nil || sum != want || len(f.hashing) != 0 {
			t.Errorf("alone: %s, %v, %d under way", sum, err, len(f.hashing))
		}
	})
}
