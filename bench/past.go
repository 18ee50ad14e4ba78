package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/certbridge/certbridged/bench/lab"
	"github.com/certbridge/certbridged/internal/cert"
	"github.com/certbridge/certbridged/internal/order"
	"github.com/certbridge/certbridged/internal/state"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// giveAPast writes the journal of a daemon that has ordered all certificates of a folder once: an order that is over and
// what is remembered of it. A start reads all of that.
func giveAPast(f *lab.Folder, list []lab.Certificate, ordered time.Time) (err error) {
	s, err := state.Open(f.Path("state", "state.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	const atOnce = 1000 // certificates of one transaction
	for begin := 0; begin < len(list); begin += atOnce {
		records := map[string][]byte{}
		for i, c := range list[begin:min(begin+atOnce, len(list))] {
			if err := past(f, c, begin+i, ordered, records); err != nil {
				return fmt.Errorf("certificate %s: %w", c.Name, err)
			}
		}
		if err := s.Write("journal", records); err != nil {
			return err
		}
	}
	return nil
}

// past adds one certificate's records.
func past(f *lab.Folder, c lab.Certificate, n int, ordered time.Time, records map[string][]byte) error {
	text, err := os.ReadFile(filepath.Join(f.Path("tls"), c.Name+".pem"))
	if err != nil {
		return err
	}
	var ders [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		ders = append(ders, block.Bytes)
	}
	chain, err := cert.ParseChain(ders)
	if err != nil {
		return err
	}
	reference := fmt.Sprintf("local-%032x", n)
	r := order.Record{
		ID: fmt.Sprintf("%s-%08x", ordered.UTC().Format("20060102-150405"), n), Certificate: c.Name, Account: c.CA,
		Kind: pluginapi.New, Phase: order.Deployed, Reason: "missing", ReasonDetail: "there is no certificate on disk",
		IdempotencyKey: fmt.Sprintf("%032x", n), Names: []string{c.Domain}, KeyType: string(cert.ECDSAP256), Reference: reference,
		Status: pluginapi.Issued, Detail: "issued", Deploy: &order.Deployment{OK: true, At: ordered}, Created: ordered, Updated: ordered, Step: "deployed",
	}
	if records["order/"+r.ID], err = order.EncodeRecord(r); err != nil {
		return err
	}
	h := order.History{
		Certificate: c.Name, Account: c.CA, DeployedAt: ordered, Deploy: r.Deploy,
		Last: &order.Previous{Reference: reference, Chain: ders, Names: r.Names},
		// The CA was asked a moment ago: a start is no reason to ask again.
		Window: &order.Window{Serial: cert.Serial(chain[0]), Start: chain[0].NotAfter.AddDate(0, 0, -30), End: chain[0].NotAfter.AddDate(0, 0, -20), LookAt: time.Now().Add(6 * time.Hour)},
	}
	records["history/"+c.Name], err = json.Marshal(struct {
		Version int           `json:"version"`
		Record  order.History `json:"record"`
	}{1, h})
	return err
}
