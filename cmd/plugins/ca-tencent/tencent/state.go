package tencent

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const stateVersion = 1

// mostAncestors bounds how many earlier certificates a state names.
const mostAncestors = 40

// state is what the daemon keeps for an order besides the certificate's id. All of it can be missing.
type state struct {
	Version int `json:"version"`
	// PaidUntil is when the time ends that was paid for; NoGain says that a reissue did not reach beyond the end of the
	// certificate that it replaces, so that what is left of it cannot be had.
	PaidUntil time.Time `json:"paid_until,omitzero"`
	NoGain    bool      `json:"no_gain,omitempty"`
	// Ancestors are the certificates that this one replaces, the oldest first.
	Ancestors []string `json:"ancestors,omitempty"`
	// Submitted is when the order went to the CA, or was said to be on its way; Left, that the certificate was seen to wait
	// for its materials no longer.
	Submitted time.Time `json:"submitted,omitzero"`
	Left      bool      `json:"left,omitempty"`
	// Audited: people look at the order before the CA does. Order is the CA's number.
	Audited bool   `json:"audited,omitempty"`
	Order   string `json:"order,omitempty"`
	// Responded: all is published, as far as the daemon said. Checks counts how often Tencent was told to look, NextCheck
	// is when it is told again.
	Responded bool      `json:"responded,omitempty"`
	Checks    int       `json:"checks,omitempty"`
	NextCheck time.Time `json:"next_check,omitzero"`
	// Deadline is when Tencent gives the order up unless domain control is shown. Asked counts how often it was asked for.
	Deadline time.Time `json:"deadline,omitzero"`
	Asked    int       `json:"asked,omitempty"`
	// Shown: Tencent has seen all that is to be published.
	Shown bool `json:"shown,omitempty"`
	// Looks counts how often the order was looked at since it last moved.
	Looks  int    `json:"looks,omitempty"`
	Status string `json:"status,omitempty"`
}

// decodeState reads an order's state. One that cannot be read is as good as none: most that matters is read from Tencent,
// and an order that was paid for must not hang on it. Of one of another version what is known of paid time is kept, since
// nobody else knows it.
func decodeState(data []byte) state {
	var st state
	if json.Unmarshal(data, &st) == nil && st.Version == stateVersion {
		return st
	}
	st = state{Version: stateVersion}
	var raw map[string]json.RawMessage
	if json.Unmarshal(data, &raw) != nil {
		return st
	}
	var kept state
	for name, into := range map[string]any{"paid_until": &kept.PaidUntil, "no_gain": &kept.NoGain, "ancestors": &kept.Ancestors} {
		if text, ok := raw[name]; ok && json.Unmarshal(text, into) != nil {
			return st
		}
	}
	st.PaidUntil, st.NoGain, st.Ancestors = kept.PaidUntil, kept.NoGain, kept.Ancestors
	return st
}

func (st state) encode() []byte {
	st.Version = stateVersion
	out, err := json.Marshal(st)
	if err != nil { // a time beyond the year 9999
		return nil
	}
	return out
}

// after is the state of an order that replaces a certificate.
func (st state) after(id string) state {
	ancestors := append(slices.Clone(st.Ancestors), id)
	return state{PaidUntil: st.PaidUntil, NoGain: st.NoGain, Ancestors: ancestors[max(0, len(ancestors)-mostAncestors):]}
}

// certificateID reads a reference.
func certificateID(reference string) (string, error) {
	if !sslapi.ValidID(reference) {
		return "", pluginapi.Errorf(pluginapi.NotFound, "%q is not the id of a certificate at Tencent Cloud", reference)
	}
	return reference, nil
}
