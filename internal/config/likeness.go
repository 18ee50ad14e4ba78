package config

import (
	"encoding/binary"
	"math"
)

// likeness is a text that is the same for two certificates of one configuration when they differ in nothing but what is
// packed (see manager.add). Certificates of one account that have no order settings of their own share the account's. It is
// empty for a certificate that holds secrets, which are compared with nothing.
func likeness(crt *Certificate, ownOrder bool) string {
	if ownOrder && len(crt.Order.Secrets) > 0 {
		return ""
	}
	b := make([]byte, 0, 256)
	text := func(s string) { b = appendText(b, s) }
	number := func(n uint64) { b = binary.AppendUvarint(b, n) }
	texts := func(list []string) {
		number(uint64(len(list)))
		for _, s := range list {
			text(s)
		}
	}
	b = appendValue(b, crt.Enabled)
	b = appendValue(b, crt.ReuseKey)
	b = appendValue(b, crt.RenewBefore.Fraction)
	number(uint64(crt.RenewBefore.Duration))
	text(crt.CA)
	text(string(crt.Key))
	number(uint64(len(crt.DCV)))
	for _, r := range crt.DCV {
		text(r.Pattern)
		texts(r.Profiles)
	}
	number(uint64(len(crt.Files)))
	for _, f := range crt.Files {
		if !f.Password.Empty() {
			return ""
		}
		text(string(f.Form))
		text(f.Owner)
		text(f.Group)
		number(uint64(f.Mode))
		text(f.Alias)
	}
	texts(crt.Deploy.Check)
	texts(crt.Deploy.Reload)
	number(uint64(crt.Deploy.Timeout))
	number(uint64(len(crt.Deploy.Verify)))
	named := namedByDomain(crt)
	for i, v := range crt.Deploy.Verify {
		text(v.Address)
		text(v.Protocol)
		if own := named&(1<<i) != 0; own {
			number(1)
		} else {
			number(0)
			text(v.ServerName)
		}
	}
	if ownOrder {
		b = appendValue(b, crt.Order.Values)
	}
	return string(b)
}

// appendValue appends a setting: its type, and what two values of the type differ in.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendText(append(b, 's'), v)
	case bool:
		if v {
			return append(b, 't')
		}
		return append(b, 'f')
	case int64:
		return binary.AppendVarint(append(b, 'i'), v)
	case float64:
		return binary.LittleEndian.AppendUint64(append(b, 'd'), math.Float64bits(v))
	case []any:
		b = binary.AppendUvarint(append(b, 'l'), uint64(len(v)))
		for _, element := range v {
			b = appendValue(b, element)
		}
		return b
	case map[string]any:
		b = binary.AppendUvarint(append(b, 'm'), uint64(len(v)))
		for _, key := range sortedKeys(v) {
			b = appendValue(appendText(b, key), v[key])
		}
		return b
	default: // settings have no others
		panic("config: a setting of an unknown type")
	}
}
