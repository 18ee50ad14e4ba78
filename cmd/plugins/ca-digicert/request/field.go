package request

import (
	"strings"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// field is one row of the table: a request field of CertCentral's order endpoints, or one of our own beside them.
type field struct {
	name string
	kind pluginapi.FieldType
	// help is the sentence of the schema, rule what is checked beyond type, allowed values and being there.
	help, rule string
	on         pages
	required   bool // in the table it stands in
	secret     bool
	allowed    []any
	dflt       any
	// fields are those of a Table, or of each element of a List; element is the type of a List's plain elements.
	fields  []field
	element pluginapi.FieldType

	// deprecated says what to use instead.
	deprecated string
	// computed says where the value comes from, since it cannot be set.
	computed string
	// own marks a setting that is never sent.
	own bool
	// api is the name in the body where it is not name.
	api []string
	// reissue: the field is part of a reissue too.
	reissue bool
	// as says how the value goes out; nil: as it is.
	as func(value any, at endpoint) any
	// test looks at a value of the right type.
	test func(r *report, path string, value any)
}

// pages are the pages of DigiCert's documentation that have a field.
type pages int

const (
	onHint pages = 1 << iota // POST order/certificate/ssl, with product.type_hint
	onDV                     // POST order/certificate/{DV product}
)

// settable are the fields that have a place in the configuration.
func settable(list []field) []field {
	var out []field
	for _, f := range list {
		if f.computed == "" {
			out = append(out, f)
		}
	}
	return out
}

// Fields is the schema of the order settings: the API's own names and nesting. What is computed is not among them.
func Fields() []pluginapi.Field { return schema(table()) }

func schema(list []field) []pluginapi.Field {
	var out []pluginapi.Field
	for _, f := range settable(list) {
		s := pluginapi.Field{
			Name: f.name, Type: f.kind, Required: f.required, Secret: f.secret, Default: f.dflt, Allowed: f.allowed, Help: f.help,
		}
		switch {
		case f.kind == pluginapi.List && f.fields != nil:
			s.Element = &pluginapi.Field{Type: pluginapi.Table, Fields: schema(f.fields)}
		case f.kind == pluginapi.List:
			s.Element = &pluginapi.Field{Type: f.element}
		default:
			s.Fields = schema(f.fields)
		}
		out = append(out, s)
	}
	return out
}

// row is a field in its place.
type row struct {
	field
	path string // dotted, "[]" for the elements of lists
	top  string // first part of path
}

// rows lists all fields, each table before what is in it. It is made once, and read only.
var rows = sync.OnceValue(func() []row { return rowsBelow("", table()) })

func rowsBelow(at string, list []field) []row {
	var out []row
	for _, f := range list {
		path := join(at, f.name)
		top, _, _ := strings.Cut(path, ".")
		out = append(out, row{f, path, strings.TrimSuffix(top, "[]")})
		if f.kind == pluginapi.List {
			path += "[]"
		}
		out = append(out, rowsBelow(path, f.fields)...)
	}
	return out
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}
