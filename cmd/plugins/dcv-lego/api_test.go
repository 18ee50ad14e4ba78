package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/peer"
)

// ovh stands in for OVH's API, which takes equal records as different ones and knows them by number alone: a provider
// that lives on what it remembers.
type ovh struct {
	mu      sync.Mutex
	records map[int64]string // name and value by number
	next    int64
	hold    chan struct{} // when it is there, creating waits for it once the record is made
	made    chan struct{}
}

func (o *ovh) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var number int64
	create := "/domain/zone/example.com/record"
	_, isRecord := strings.CutPrefix(r.URL.Path, create+"/")
	switch {
	case r.URL.Path == "/auth/time":
		fmt.Fprint(w, "1790000000")
	case r.Method == http.MethodPost && r.URL.Path == create:
		var record struct{ FieldType, SubDomain, Target string }
		if err := json.NewDecoder(r.Body).Decode(&record); err != nil || record.FieldType != "TXT" {
			http.Error(w, "bad record", http.StatusBadRequest)
			return
		}
		o.mu.Lock()
		o.next++
		number = o.next
		o.records[number] = record.SubDomain + " " + record.Target
		hold := o.hold
		o.mu.Unlock()
		if hold != nil {
			o.made <- struct{}{}
			<-hold
		}
		fmt.Fprintf(w, `{"id":%d,"fieldType":"TXT"}`, number)
	case r.Method == http.MethodDelete && isRecord:
		_, _ = fmt.Sscanf(r.URL.Path, create+"/%d", &number)
		o.mu.Lock()
		_, there := o.records[number]
		delete(o.records, number)
		o.mu.Unlock()
		if !there {
			http.Error(w, `{"message":"no such record"}`, http.StatusNotFound)
			return
		}
		fmt.Fprint(w, "null")
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/refresh"):
		fmt.Fprint(w, "null")
	default:
		http.Error(w, `{"message":"what?"}`, http.StatusForbidden)
	}
}

func (o *ovh) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []string
	for _, r := range o.records {
		list = append(list, r)
	}
	slices.Sort(list)
	return list
}

func newOVH(t *testing.T) (*ovh, map[string]string) {
	t.Helper()
	o := &ovh{records: map[int64]string{}, made: make(chan struct{}, 1)}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	return o, map[string]string{
		"OVH_ENDPOINT": server.URL, "OVH_APPLICATION_KEY": "key", "OVH_APPLICATION_SECRET": "application-secret", "OVH_CONSUMER_KEY": "consumer",
	}
}

// What a provider remembers goes through the receipt into the next process.
func TestWithdrawAfterACrashByTheReceipt(t *testing.T) {
	b, _ := newBIND(t)
	o, env := newOVH(t)
	path := peer.DCVLego(t)
	ours, others := txt("_dnsauth.example.com", "ours"), txt("_dnsauth.example.com", "another")
	p := launch(t, path, env, values("ovh"), b.Addr())
	p.publish(t, others)
	receipt := p.publish(t, ours)
	acme := p.publish(t, acmeTXT("example.com", "token-1"))
	p.kill(t)
	if strings.Contains(string(receipt)+p.log.String(), "application-secret") {
		t.Errorf("a secret came out: %s %s", receipt, p.log)
	}
	p = launch(t, path, env, values("ovh"), b.Addr())
	p.withdraw(t, ours, receipt)
	p.withdraw(t, acmeTXT("example.com", "token-1"), acme)
	if got := o.all(); !slices.Equal(got, []string{"_dnsauth another"}) {
		t.Errorf("left: %q", got)
	}
}

// Killed while the API makes the record, the answer is lost with its number.
func TestWithdrawAfterACrashAmidPublish(t *testing.T) {
	b, _ := newBIND(t)
	o, env := newOVH(t)
	o.hold = make(chan struct{})
	path := peer.DCVLego(t)
	c := txt("_dnsauth.example.com", "ours")
	p := launch(t, path, env, values("ovh"), b.Addr())
	failed := make(chan error, 1)
	go func() {
		_, err := p.Publish(t.Context(), c)
		failed <- err
	}()
	<-o.made
	p.kill(t)
	if err := <-failed; err == nil {
		t.Error("published by a dead process")
	}
	close(o.hold)
	o.mu.Lock()
	o.hold = nil
	o.mu.Unlock()
	p = launch(t, path, env, values("ovh"), b.Addr())
	p.withdraw(t, c, nil)
	// OVH keeps equal records apart, so the lost one cannot be told: one is left, as docs/adr/0007 says.
	if got := o.all(); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
}

func TestAStatusDecidesTheKindOfAnError(t *testing.T) {
	b, _ := newBIND(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "go away", http.StatusUnauthorized) }))
	defer server.Close()
	env := map[string]string{"HTTPREQ_ENDPOINT": server.URL, "HTTPREQ_PASSWORD": "opensesame", "HTTPREQ_USERNAME": "me"}
	p := launch(t, peer.DCVLego(t), env, values("httpreq"), b.Addr())
	_, err := p.Publish(t.Context(), txt("_dnsauth.example.com", "v"))
	wantKind(t, err, pluginapi.Unauthorized, "401")
}

func TestConformanceThroughHTTPRequests(t *testing.T) {
	b, _ := newBIND(t)
	var mu sync.Mutex
	up := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ FQDN, Value string }
		user, password, _ := r.BasicAuth()
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || user != "me" || password != "opensesame" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		up[m.FQDN+" "+m.Value] = r.URL.Path == "/present"
	}))
	defer server.Close()
	conform(t, plugintest.Options{
		Env:      []string{"HTTPREQ_ENDPOINT=" + server.URL, "HTTPREQ_USERNAME=me", "HTTPREQ_PASSWORD=opensesame"},
		Settings: pluginapi.Settings{Values: values("httpreq")}, DNSResolvers: []string{b.Addr()},
		Challenges: []pluginapi.Challenge{txt("_dnsauth.example.com", "v1"), txt("example.com", "v2"), acmeTXT("example.com", "token-1")},
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			mu.Lock()
			defer mu.Unlock()
			return up[c.DNS.Name+". "+c.DNS.Value], nil
		},
	})
}

func TestConformanceThroughAProgram(t *testing.T) {
	b, _ := newBIND(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "publish")
	script := `#!/bin/sh
case $1 in
present) printf '%s' "$3" > "` + dir + `/$2$3" ;;
cleanup) rm -f "` + dir + `/$2$3" ;;
*) exit 1 ;;
esac
`
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	conform(t, plugintest.Options{
		Env:      []string{"EXEC_PATH=" + program},
		Settings: pluginapi.Settings{Values: values("exec")}, DNSResolvers: []string{b.Addr()},
		Challenges: []pluginapi.Challenge{txt("_dnsauth.example.com", "v1"), txt("example.com", "v2"), acmeTXT("example.com", "token-1")},
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			_, err := os.Stat(filepath.Join(dir, c.DNS.Name+"."+c.DNS.Value))
			if os.IsNotExist(err) {
				return false, nil
			}
			return err == nil, err
		},
	})
}
