package servertastic

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox"
	"github.com/certbridge/certbridged/internal/sandbox/sandboxtest"
)

// TestLookThatIsCutOffLeavesNothingOut: whoever asks the CA to look hangs up in the middle of the look at the companion. What
// was found by then must not become a certificate without it.
func TestLookThatIsCutOffLeavesNothingOut(t *testing.T) {
	t.Parallel()
	var body string
	asked, cut := make(chan struct{}), make(chan struct{})
	first := true // one look at a time
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Host == "www.example.com" && first {
			first = false
			close(asked)
			<-cut
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(files.Close)
	at, err := url.Parse(files.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	r := newRigOf(t, Options{Look: &sandbox.Look{Resolver: sandboxtest.NewWorld(t).Look().Resolver, HTTPPort: port, HTTPSPort: -1}})
	token := r.bought("PositiveSSL-12")
	r.ok("order/place", with(r.placement(token, "example.com"), "dv_auth_method", methodFile))
	body = r.review(token)["dv_auth_file_contents"].(string)

	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if _, err := r.s.checkOrder(ctx, token); err == nil {
			t.Error("a look that was cut off counts")
		}
	}()
	<-asked
	hangUp()
	<-gone
	close(cut)
	if v := r.review(token); v["order_status"] != statusWaiting {
		t.Fatalf("after a look that was cut off: %v", v)
	}
	r.ok("order/pollauth", form{"order_token": token})
	if list := leaves(t, r.review(token)); len(list) != 1 || len(list[0].DNSNames) != 2 {
		t.Errorf("issued: %v", list)
	}
}
