package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// thing is the state of a stand-in that counts.
type thing struct {
	Head
	Count    int      `json:"count"`
	Settings settings `json:"settings"`
}

type settings struct {
	Loud bool `json:"loud"`
}

// counter is the least stand-in there is.
type counter struct{ *Frame[*thing] }

func newCounter(t testing.TB, dir string, version int) (*counter, error) {
	t.Helper()
	c := &counter{}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/count", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := c.Change(c.Now(), func(a *thing) error {
			a.Count++
			a.Ledger.Add(Entry{Kind: Purchase, Order: "1", Amount: int64(len(body))})
			return nil
		}); err != nil {
			t.Error(err)
		}
		c.Note(r, http.StatusOK, "", []string{"counted"})
		WriteJSON(w, http.StatusOK, map[string]int{"count": len(body)})
	})
	var err error
	c.Frame, err = NewFrame(FrameOptions[*thing]{
		BasePath: "/api", API: mux, Elsewhere: http.NotFoundHandler(), Dir: dir, File: "thing.json", Version: version, Empty: &thing{}, Unit: "points",
		New: func(time.Time) (*thing, error) {
			a, err := NewAuthority([]IssuerShape{{Root: "Root", Name: "One", Kind: ECDSA}})
			return &thing{Head: Head{Authority: a}}, err
		},
		Look: func(context.Context) error { return errors.New("nothing is seen") },
	})
	if err != nil {
		return nil, err
	}
	OnSettings(c.Admin, []Field{Boolean("loud")}, func() settings { return c.Account.Settings }, func(do func(*settings) error) error {
		return c.Change(c.Now(), func(a *thing) error { return do(&a.Settings) })
	})
	return c, nil
}

func call(t testing.TB, h http.Handler, method, at, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, at, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:1"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestFrameKeepsTheAccount(t *testing.T) {
	dir := t.TempDir()
	c, err := newCounter(t, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	call(t, c, http.MethodPost, "/api/count", "12345")
	if err := c.Advance(48 * time.Hour); err != nil {
		t.Fatal(err)
	}
	again, err := newCounter(t, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	if l := again.Ledger(); again.Account.Count != 1 || l.Sum() != 5 || time.Until(again.Now()) < 47*time.Hour || string(again.RootsPEM()) != string(c.RootsPEM()) {
		t.Errorf("kept: %+v", again.Account)
	}
	if _, err := newCounter(t, dir, 2); err == nil || !strings.Contains(err.Error(), "thing.json is of version 1") {
		t.Errorf("another version: %v", err)
	}
}

func TestFrameOwnCalls(t *testing.T) {
	c, err := newCounter(t, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	call(t, c, http.MethodPost, "/api/count", "12345")
	for _, x := range []struct {
		method, at, body string
		status           int
		says             string
	}{
		{"GET", "ledger", "", 200, `"purchases":1`},
		{"GET", "ledger", "", 200, `"currency":"points"`},
		{"GET", "calls", "", 200, `"path":"/count","status":200,"remarks":["counted"]`},
		{"DELETE", "calls", "", 204, ""},
		{"POST", "clock", `{"days":2}`, 200, `"offset":"48h0m0s"`},
		{"POST", "clock", `{"advance":"-1h"}`, 200, `"offset":"47h0m0s"`},
		{"POST", "clock", `{"day":2}`, 400, "day is no documented field"},
		{"GET", "clock", "", 200, `"day":"24h0m0s"`},
		{"POST", "misbehave", `{"kind":"html"}`, 204, ""},
		{"POST", "misbehave", `{"kind":"rude"}`, 400, "rude"},
		{"GET", "misbehave", "", 200, `"kind":"html"`},
		{"DELETE", "misbehave", "", 204, ""},
		{"GET", "misbehave", "", 200, `"misbehaviours":null`},
		{"POST", "look", "", 400, "nothing is seen"},
		{"GET", "roots", "", 200, "BEGIN CERTIFICATE"},
		{"PATCH", "settings", `{"loud":true}`, 200, `{"loud":true}`},
		{"PATCH", "settings", `{"lout":true}`, 400, "lout"},
		{"GET", "settings", "", 200, `{"loud":true}`},
		{"GET", "nothing", "", 404, "sandbox_not_found"},
	} {
		if status, body := call(t, c, x.method, AdminPath+x.at, x.body); status != x.status || !strings.Contains(body, x.says) {
			t.Errorf("%s %s %s: status %d: %s", x.method, x.at, x.body, status, body)
		}
	}
	if r, w := httptest.NewRequest(http.MethodGet, AdminPath+"ledger", nil), httptest.NewRecorder(); true { // from 192.0.2.1
		c.ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("another machine: status %d", w.Code)
		}
	}
	if status, _ := call(t, c, http.MethodGet, "/elsewhere", ""); status != http.StatusNotFound || len(c.Calls()) != 0 {
		t.Errorf("elsewhere: status %d", status)
	}
}

// A server notices that a client has gone only when it has read the body, so that a slow answer has to read it first.
func TestSlowAnswerEndsWithItsClient(t *testing.T) {
	c, err := newCounter(t, "", 1)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{}; _ = recover() }()
		c.ServeHTTP(w, r)
	}))
	defer server.Close()
	if err := c.Misbehave(Misbehaviour{Kind: Slow}); err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /api/count HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"); err != nil {
		t.Fatal(err)
	}
	for len(c.Calls()) == 0 || c.Calls()[0].Misbehaved == "" {
		time.Sleep(time.Millisecond) // the call begins in the server's own time
	}
	conn.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the call waits on for a client that has gone")
	}
	if c.Account.Count != 0 {
		t.Error("the work was done for a client that has gone")
	}
	if err := c.Misbehave(Misbehaviour{Kind: Slow, Delay: Delay(time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	resp, err := server.Client().Post(server.URL+"/api/count", "text/plain", strings.NewReader("12345"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got map[string]int
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got["count"] != 5 {
		t.Errorf("a slow call lost its body: %v, %v", got, err)
	}
	server.CloseClientConnections()
}
