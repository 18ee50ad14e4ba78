package ordertoken

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// maxCertificates bounds how many certificates of one answer are looked at.
const maxCertificates = 64

// certificatesIn collects the certificates of an answer, wherever in its JSON they stand: the layout has changed over the
// years, and the newest one's names are not published. Each is there once.
func certificatesIn(body []byte) []*x509.Certificate {
	var tree any
	if json.Unmarshal(body, &tree) != nil {
		return nil
	}
	w := &walker{seen: map[string]bool{}}
	w.walk("", tree)
	return w.found
}

// expiryIn is the latest of the ends that an answer tells, wherever in its JSON they stand.
func expiryIn(body []byte) (last time.Time) {
	var tree any
	if json.Unmarshal(body, &tree) != nil {
		return last
	}
	var walk func(key string, at any)
	walk = func(key string, at any) {
		switch v := at.(type) {
		case map[string]any:
			for k, e := range v {
				walk(k, e)
			}
		case []any:
			for _, e := range v {
				walk(key, e)
			}
		case string:
			var t Time
			if raw, err := json.Marshal(v); (key == "expiration_date" || key == "expiry_date") && err == nil && t.UnmarshalJSON(raw) == nil && t.After(last) {
				last = t.UTC()
			}
		}
	}
	walk("", tree)
	return last
}

type walker struct {
	found []*x509.Certificate
	seen  map[string]bool
}

func (w *walker) walk(key string, at any) {
	switch v := at.(type) {
	case map[string]any:
		for k, e := range v {
			w.walk(k, e)
		}
	case []any:
		for _, e := range v {
			w.walk(key, e)
		}
	case string:
		w.text(key, v)
	}
}

// text takes the certificates of a text: blocks of PEM, in whatever state their line ends are, or, under a key that says so,
// base64 alone.
func (w *walker) text(key, text string) {
	blocks := blocksOf(text)
	if len(blocks) == 0 && strings.Contains(strings.ToLower(key), "cert") {
		w.der(decodeBase64(text))
		return
	}
	for _, b := range blocks {
		switch {
		case strings.HasPrefix(b.kind, "PKCS7"), b.kind == "CMS":
			for _, der := range bagOf(b.der) {
				w.der(der)
			}
		case strings.HasSuffix(b.kind, "CERTIFICATE"):
			w.der(b.der)
		}
	}
}

func (w *walker) der(der []byte) {
	if len(der) == 0 || w.seen[string(der)] || len(w.found) == maxCertificates {
		return
	}
	if c, err := x509.ParseCertificate(der); err == nil {
		w.seen[string(der)] = true
		w.found = append(w.found, c)
	}
}

type block struct {
	kind string
	der  []byte
}

// blocksOf finds PEM blocks. Package pem wants line ends where they belong, and texts that were written by hand into JSON
// have them as \n, or not at all.
func blocksOf(text string) []block {
	const begin, end, dashes = "-----BEGIN ", "-----END ", "-----"
	var out []block
	for len(out) < maxCertificates {
		_, rest, ok := strings.Cut(text, begin)
		if !ok {
			break
		}
		kind, rest, ok := strings.Cut(rest, dashes)
		if !ok {
			break
		}
		body, after, ok := strings.Cut(rest, end)
		if !ok {
			break
		}
		if der := decodeBase64(body); len(der) > 0 {
			out = append(out, block{kind: strings.TrimSpace(kind), der: der})
		}
		text = after
	}
	return out
}

func decodeBase64(text string) []byte {
	text = strings.NewReplacer(`\r`, "", `\n`, "").Replace(text)
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil
	}
	return der
}

// bagOf returns the certificates of a PKCS#7 message (RFC 2315 section 9.1).
func bagOf(der []byte) [][]byte {
	var content struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
	}
	if _, err := asn1.Unmarshal(der, &content); err != nil {
		return nil
	}
	var signed asn1.RawValue // a sequence
	if _, err := asn1.Unmarshal(content.Content.Bytes, &signed); err != nil {
		return nil
	}
	for rest := signed.Bytes; len(rest) > 0; {
		var part asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &part); err != nil {
			return nil
		}
		if part.Class == asn1.ClassContextSpecific && part.Tag == 0 {
			return elements(part.Bytes)
		}
	}
	return nil
}

func elements(rest []byte) [][]byte {
	var out [][]byte
	for len(rest) > 0 && len(out) < maxCertificates {
		var one asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &one); err != nil {
			break
		}
		out = append(out, one.FullBytes)
	}
	return out
}
