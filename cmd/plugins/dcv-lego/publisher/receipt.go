package publisher

import (
	"encoding/json"
	"fmt"
	"time"
)

// receiptVersion is that of the receipts this code writes. Others are not read.
const receiptVersion = 1

// receipt is what Publish hands back: what the provider must be reminded of to remove the record.
type receipt struct {
	Version  int    `json:"version"`
	Provider string `json:"provider"`
	// Key is the task's: a receipt belongs to one record.
	Key string    `json:"key"`
	At  time.Time `json:"at"`
	// State is what package memory made; empty when the provider remembers nothing.
	State json.RawMessage `json:"state,omitempty"`
}

func (r receipt) encode() []byte {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // its fields are text, a time and JSON that was encoded here
	}
	return text
}

// parseReceipt reads a receipt, which must be of this version, provider and record.
func parseReceipt(blob []byte, provider, key string) (*receipt, error) {
	var r receipt
	if err := json.Unmarshal(blob, &r); err != nil {
		return nil, fmt.Errorf("decode receipt: %w", err)
	}
	switch {
	case r.Version != receiptVersion:
		return nil, fmt.Errorf("the receipt is of version %d, want %d", r.Version, receiptVersion)
	case r.Provider != provider:
		return nil, fmt.Errorf("the receipt is of the provider %q, not %q", r.Provider, provider)
	case r.Key != key:
		return nil, fmt.Errorf("the receipt belongs to another record")
	}
	return &r, nil
}
