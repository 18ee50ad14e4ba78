package dcv

import (
	"bytes"
	"encoding/json"
	"path/filepath"
)

// receipt is what the built-in ways to publish hand back. It makes Withdraw work also when, in the meantime, the daemon
// was restarted with another configuration.
type receipt struct {
	Webroot   string `json:"webroot,omitempty"`
	Responder bool   `json:"responder,omitempty"`
}

func (r receipt) encode() []byte {
	blob, err := json.Marshal(r)
	if err != nil {
		panic(err) // two plain fields always encode
	}
	return blob
}

func (w *webroot) receipt() []byte { return receipt{Webroot: w.path}.encode() }

// fromReceipt returns the publisher that gave out a receipt, or nil when that cannot be told. The lock is held.
func (s *Solver) fromReceipt(blob []byte) publisher {
	var r receipt
	if json.Unmarshal(blob, &r) != nil {
		return nil // a plugin's own
	}
	switch {
	case r.Webroot != "" && filepath.IsAbs(r.Webroot):
		return s.webroot(r.Webroot)
	case r.Responder:
		return s.shared()
	default:
		return nil
	}
}

// pluginReceipt is what goes round a plugin's own receipt.
type pluginReceipt struct {
	// Name is where a TXT record was published, after CNAME records. It is withdrawn from there wherever these lead by
	// then.
	Name   string `json:"name,omitempty"`
	Plugin []byte `json:"plugin"`
}

func (r pluginReceipt) encode() []byte {
	blob, err := json.Marshal(r)
	if err != nil {
		panic(err) // two plain fields always encode
	}
	return blob
}

// decodePluginReceipt takes what is none of ours for the plugin's own.
func decodePluginReceipt(blob []byte) pluginReceipt {
	var r pluginReceipt
	d := json.NewDecoder(bytes.NewReader(blob))
	d.DisallowUnknownFields()
	if d.Decode(&r) != nil || d.More() {
		return pluginReceipt{Plugin: blob}
	}
	return r
}
