package digicert

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const stateVersion = 1

// state is what the daemon keeps for an order besides its number. All of it can be missing.
type state struct {
	Version int `json:"version"`
	// CertificateID is the certificate that the order or reissue is for; RequestID what a person approves.
	CertificateID certcentral.ID `json:"certificate_id,omitempty"`
	RequestID     certcentral.ID `json:"request_id,omitempty"`
	// Placed is when the order was placed or found.
	Placed time.Time `json:"placed,omitzero"`
	// Missing is since when a reissue is not to be seen at DigiCert.
	Missing time.Time `json:"missing,omitzero"`
	// Method and Value are what is to be published, until Expires; Fetched is when DigiCert last said so.
	Method  string    `json:"method,omitempty"`
	Value   string    `json:"value,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Fetched time.Time `json:"fetched,omitzero"`
	// TokenTime is the time in the request token of an AuthKey.
	TokenTime time.Time `json:"token_time,omitzero"`
	// Responded: all is published, as far as the daemon said. Checks counts how often DigiCert was told to look, NextCheck
	// is when it is told again.
	Responded bool      `json:"responded,omitempty"`
	Checks    int       `json:"checks,omitempty"`
	NextCheck time.Time `json:"next_check,omitzero"`
	// Looks counts how often the order was looked at since it last moved.
	Looks  int    `json:"looks,omitempty"`
	Status string `json:"status,omitempty"`
}

// decodeState reads an order's state. One that cannot be read, or is of a later version, is as good as none: all that
// matters is found again at DigiCert, and an order that was paid for must not hang on it.
func decodeState(data []byte) state {
	var st state
	if json.Unmarshal(data, &st) != nil || st.Version != stateVersion {
		return state{Version: stateVersion}
	}
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

// reference is an order's number as the daemon keeps it.
func reference(id certcentral.ID) string { return id.String() }

// orderID reads a reference. It becomes part of a path, so nothing but a number will do.
func orderID(reference string) (certcentral.ID, error) {
	n, err := strconv.ParseInt(reference, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != reference {
		return 0, pluginapi.Errorf(pluginapi.NotFound, "%q is not the number of a DigiCert order", reference)
	}
	return certcentral.ID(n), nil
}
