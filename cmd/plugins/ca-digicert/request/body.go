package request

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// body is a JSON object in the making. It is written with its keys in order, so that equal orders are equal bytes.
type body map[string]any

func (b body) write() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]any(b)); err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// table returns the object at a key, made if it is not there.
func (b body) table(name string) body {
	if t, ok := b[name].(body); ok {
		return t
	}
	t := body{}
	b[name] = t
	return t
}

// setDefault puts a value in unless there is one.
func (b body) setDefault(name string, value any) {
	if _, ok := b[name]; !ok {
		b[name] = value
	}
}

// fill puts what is configured into a body: the fields of the table, of the API's own types and places.
func (b body) fill(s pluginapi.Settings, at endpoint, include func(field) bool) {
	w := writer{secrets: s.Secrets, at: at, include: include}
	w.fill(b, "", table(), s.Values)
}

type writer struct {
	secrets map[string]pluginapi.Secret
	at      endpoint
	include func(field) bool
}

func (w writer) fill(into body, at string, list []field, values map[string]any) {
	for _, f := range settable(list) {
		if f.own || !w.include(f) {
			continue
		}
		value, ok := w.value(join(at, f.name), f, values[f.name])
		if !ok {
			continue
		}
		target, name := into, f.name
		for i, part := range f.api {
			if name = part; i < len(f.api)-1 {
				target = target.table(part)
			}
		}
		target[name] = value
	}
}

// value makes what goes out; ok is false where nothing is configured.
func (w writer) value(path string, f field, given any) (value any, ok bool) {
	if f.secret {
		secret, there := w.secrets[path]
		if !there {
			return nil, false
		}
		given = secret.Reveal()
	}
	switch f.kind {
	case pluginapi.Table:
		values, _ := given.(map[string]any)
		sub := body{}
		w.fill(sub, path, f.fields, values)
		return sub, len(sub) > 0
	case pluginapi.List:
		return w.list(path, f, given)
	case pluginapi.Integer:
		n, ok := whole(given)
		return n, ok
	}
	if given != nil && f.as != nil {
		given = f.as(given, w.at)
	}
	return given, given != nil
}

func (w writer) list(path string, f field, given any) (any, bool) {
	list, ok := given.([]any)
	if !ok || f.fields == nil {
		return given, ok
	}
	out := make([]any, 0, len(list))
	for i, e := range list {
		values, _ := e.(map[string]any)
		sub := body{}
		// What a list's element holds is part of a body whenever the list is.
		all := writer{secrets: w.secrets, at: w.at, include: func(field) bool { return true }}
		all.fill(sub, path+"["+strconv.Itoa(i)+"]", f.fields, values)
		out = append(out, sub)
	}
	return out, true
}

// asFlag: the page of the endpoint decides whether yes and no are true and false, or 1 and 0.
func asFlag(value any, at endpoint) any {
	yes, _ := value.(bool)
	switch {
	case at.page != onDV:
		return yes
	case yes:
		return 1
	default:
		return 0
	}
}

// asNumber makes a number of a secret's digits. Digits that begin with a zero which counts, as those of a CVV do, stay
// text: a number would lose it. (Not confirmed by DigiCert's pages: that text is accepted in that case.)
func asNumber(value any, _ endpoint) any {
	text, _ := value.(string)
	digits, ok := plainDigits(text, 1, 4)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || len(digits) > 2 && digits[0] == '0' {
		return text
	}
	return n
}

func asDigits(value any, _ endpoint) any {
	digits, ok := plainDigits(value, 1, 19)
	if !ok {
		return value
	}
	return digits
}

// WithAccount returns order settings in which what the account says fills what the order leaves open: organization.id
// (for products that have an organization), container.id and skip_approval. Check, Order and Reissue want its result.
// The settings handed in are not changed.
func WithAccount(s pluginapi.Settings, a Account) pluginapi.Settings {
	values := maps.Clone(s.Values)
	if values == nil {
		values = map[string]any{}
	}
	if at := endpointOf(s); a.OrganizationID != 0 && at.validation != DV && at.product != "" {
		setID(values, "organization", a.OrganizationID)
	}
	if a.ContainerID != 0 {
		setID(values, "container", a.ContainerID)
	}
	if _, ok := values["skip_approval"]; !ok && a.SkipApproval != nil {
		values["skip_approval"] = *a.SkipApproval
	}
	return pluginapi.Settings{Values: values, Secrets: s.Secrets}
}

// setID sets the id in a table unless there is one. A table that is none is left for Check to name.
func setID(values map[string]any, name string, id int64) {
	old, there := values[name]
	sub, isTable := old.(map[string]any)
	if there && !isTable {
		return
	}
	sub = maps.Clone(sub)
	if sub == nil {
		sub = map[string]any{}
	}
	if _, ok := sub["id"]; !ok {
		sub["id"] = id
	}
	values[name] = sub
}
