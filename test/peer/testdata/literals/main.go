// Literals asks lego's two functions what they make of arguments, and counts the DNS queries that they send; then it
// asks many times at once. It reads questions and writes answers as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/go-acme/lego/v4/challenge/dns01"
	"github.com/go-acme/lego/v4/challenge/http01"
	"github.com/miekg/dns"
)

type questions struct {
	Domain   string
	KeyAuths []string
	Tokens   []string
	// So often is each question asked again, by as many goroutines at once.
	Times int
}

type answers struct {
	Records []dns01.ChallengeInfo
	Paths   []string
	// Mixed counts the answers at once that differed from those one after the other.
	Mixed int64
	// Queries are those of asking the first time.
	Queries int64
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var q questions
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		return err
	}
	var a answers
	stop, err := serveDNS(&a.Queries)
	if err != nil {
		return err
	}
	defer stop()
	a.Records, a.Paths = ask(q)
	if err := os.Setenv("LEGO_DISABLE_CNAME_SUPPORT", "true"); err != nil { // hundreds of queries at once would be lost
		return err
	}
	records, paths := ask(q)
	var group sync.WaitGroup
	for range q.Times {
		for i, k := range q.KeyAuths {
			group.Go(func() {
				if dns01.GetChallengeInfo(q.Domain, k) != records[i] {
					atomic.AddInt64(&a.Mixed, 1)
				}
			})
		}
		for i, token := range q.Tokens {
			group.Go(func() {
				if http01.ChallengePath(token) != paths[i] {
					atomic.AddInt64(&a.Mixed, 1)
				}
			})
		}
	}
	group.Wait()
	return json.NewEncoder(os.Stdout).Encode(&a)
}

// ask asks each question once, one after the other.
func ask(q questions) (records []dns01.ChallengeInfo, paths []string) {
	for _, k := range q.KeyAuths {
		records = append(records, dns01.GetChallengeInfo(q.Domain, k))
	}
	for _, token := range q.Tokens {
		paths = append(paths, http01.ChallengePath(token))
	}
	return records, paths
}

// serveDNS makes lego ask a server that counts, and that knows one alias: _acme-challenge.alias.test.
func serveDNS(queries *int64) (stop func(), err error) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		atomic.AddInt64(queries, 1)
		reply := new(dns.Msg).SetReply(r)
		if name := r.Question[0].Name; name == "_acme-challenge.alias.test." {
			header := dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}
			reply.Answer = []dns.RR{&dns.CNAME{Hdr: header, Target: "alias.elsewhere.test."}}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	if err := dns01.AddRecursiveNameservers([]string{conn.LocalAddr().String()})(nil); err != nil {
		return nil, err
	}
	return func() { _ = server.Shutdown() }, nil
}
