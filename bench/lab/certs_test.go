package lab

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestInstalledTellsWhatWasDoneFromWhatWasNot(t *testing.T) {
	ours, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cas, err := NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cas.root.RawSubject = []byte("another CA")
	f, err := NewFolder(t.TempDir(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	list := []Certificate{{Name: "a", Domain: "a.test"}, {Name: "b", Domain: "b.test"}}
	until := func(int) time.Time { return time.Now().Add(time.Hour) }
	says := func(want string) {
		t.Helper()
		err := cas.Installed(f, list)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	says("no such file")
	if err := ours.PutAll(f, list, time.Now(), until); err != nil {
		t.Fatal(err)
	}
	says("")
	if err := ours.Installed(f, list); err == nil || !strings.Contains(err.Error(), "from before") {
		t.Error(err)
	}
	if err := ours.Put(f, Certificate{Name: "b", Domain: "c.test"}, time.Now(), until(0)); err != nil {
		t.Fatal(err)
	}
	says("not for b.test")
	if err := os.WriteFile(f.Path("tls", "a.key"), cas.keyPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	list = list[:1]
	says("private key does not match")
}
