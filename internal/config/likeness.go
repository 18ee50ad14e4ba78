package config

import (
	"fmt"
	"math"

	"github.com/certbridge/certbridged/internal/packed"
)

// likeness is a text that is the same for two certificates of one configuration when they differ in nothing but what is
// packed (see manager.add). Certificates of one account that have no order settings of their own share the account's. It is
// empty for a certificate that holds secrets, which are compared with nothing.
func likeness(crt *Certificate, ownOrder bool) string {
	if ownOrder && len(crt.Order.Secrets) > 0 {
		return ""
	}
	w := make(packed.Writer, 0, 256)
	w.Flag(crt.Enabled)
	w.Flag(crt.ReuseKey)
	w.Number(int64(math.Float64bits(crt.RenewBefore.Fraction)))
	w.Number(int64(crt.RenewBefore.Duration))
	w.Text(crt.CA)
	w.Text(string(crt.Key))
	w.Number(int64(len(crt.DCV)))
	for _, r := range crt.DCV {
		w.Text(r.Pattern)
		w.Texts(r.Profiles)
	}
	w.Number(int64(len(crt.Files)))
	for _, f := range crt.Files {
		if !f.Password.Empty() {
			return ""
		}
		w.Text(string(f.Form))
		w.Text(f.Owner)
		w.Text(f.Group)
		w.Number(int64(f.Mode))
		w.Text(f.Alias)
	}
	w.Texts(crt.Deploy.Check)
	w.Texts(crt.Deploy.Reload)
	w.Number(int64(crt.Deploy.Timeout))
	w.Number(int64(len(crt.Deploy.Verify)))
	named := namedByDomain(crt)
	for i, v := range crt.Deploy.Verify {
		w.Text(v.Address)
		w.Text(v.Protocol)
		own := named&(1<<i) != 0
		if w.Flag(own); !own {
			w.Text(v.ServerName)
		}
	}
	if ownOrder {
		addValue(&w, crt.Order.Values)
	}
	return string(w)
}

// addValue adds a setting: its type, and what two values of the type differ in.
func addValue(w *packed.Writer, v any) {
	kind := func(k byte) { *w = append(*w, k) }
	switch v := v.(type) {
	case string:
		kind('s')
		w.Text(v)
	case bool:
		kind('b')
		w.Flag(v)
	case int64:
		kind('i')
		w.Number(v)
	case float64:
		kind('f')
		w.Number(int64(math.Float64bits(v)))
	case []any:
		kind('l')
		w.Number(int64(len(v)))
		for _, element := range v {
			addValue(w, element)
		}
	case map[string]any:
		kind('m')
		w.Number(int64(len(v)))
		for _, key := range sortedKeys(v) {
			w.Text(key)
			addValue(w, v[key])
		}
	default: // settings have no others
		panic(fmt.Sprintf("config: a setting of type %T", v))
	}
}
