package peer

import (
	"maps"
	"testing"

	"github.com/go-acme/lego/v4/providers/http/memcached"
	"github.com/go-acme/lego/v4/providers/http/s3"
)

func TestMemcached(t *testing.T) {
	t.Parallel()
	addr := Memcached(t)
	provider, err := memcached.NewMemcachedProvider([]string{addr})
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.Present("example.com", "token", "token.thumb"); err != nil {
		t.Fatal(err)
	}
	if got, _ := MemcachedGet(t, addr, "/.well-known/acme-challenge/token"); got != "token.thumb" {
		t.Errorf("memcached holds %q", got)
	}
	if got, found := MemcachedGet(t, addr, "/other"); found {
		t.Errorf("memcached holds %q for what nobody put there", got)
	}
}

func TestS3(t *testing.T) {
	s := S3(t)
	for name, value := range s.Env() {
		t.Setenv(name, value)
	}
	provider, err := s3.NewHTTPProvider(s.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := provider.Present("example.com", "token", "token.thumb"); err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	want := map[string]string{".well-known/acme-challenge/token": "token.thumb"}
	if got := s.Objects(t); !maps.Equal(got, want) {
		t.Errorf("the bucket holds %q, want %q", got, want)
	}
	if err := provider.CleanUp("example.com", "token", "token.thumb"); err != nil {
		t.Fatal(err)
	}
	if got := s.Objects(t); len(got) != 0 {
		t.Errorf("the bucket still holds %q", got)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if provider, err = s3.NewHTTPProvider(s.Bucket); err != nil {
		t.Fatal(err)
	}
	if err := provider.Present("example.com", "token", "token.thumb"); err == nil {
		t.Error("a wrong secret key is let in")
	}
}
