package fields

import (
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// Field is one row of a table: a request field of the CA's API, or a setting of the plugin's own beside them.
type Field struct {
	// Name is the key in the order settings. Where nothing speaks against it, it is the API's own.
	Name string
	// Type is what the configuration has there. A secret is text (pluginapi.String) whatever goes out.
	Type pluginapi.FieldType
	// Help is one sentence for people: what the field means.
	Help string
	// Rule says for the documentation what is checked beyond type, allowed values and being there.
	Rule string
	// Required is within the table the field stands in.
	Required bool
	// Secret: the value comes from a file, the environment or a systemd credential. It is never shown and never kept.
	Secret bool
	// Allowed are the only values; empty: any.
	Allowed []any
	// Default is what the CA takes where the field is left out. It is documentation: Fill sends nothing that is not
	// configured.
	Default any
	// Fields are those of a Table, or of each element of a List.
	Fields []Field
	// Element is the type of a List's plain elements.
	Element pluginapi.FieldType

	// In are the calls of the API that take the field; zero: none does.
	In Calls
	// Deprecated says what to use instead. Whoever sets the field is warned with these words.
	Deprecated string
	// Computed says where the value comes from, as in "made with the certificate's key": the field cannot be set, and
	// the plugin fills it in. It is in no schema, and whoever sets it is told.
	Computed string
	// Own marks a setting that Fill leaves out, for the plugin uses it otherwise: for a path, a choice, a token.
	Own bool
	// API is the name in the request where it is not Name; several parts lead through objects of the request.
	API []string
	// Inline marks a Table that only the settings have: its fields go out as if they stood beside it.
	Inline bool
	// As makes of the configured value what goes out, where that is not the value itself; in is what Out.In says. It is
	// handed an int64 for an Integer, a string for a secret, and otherwise what is configured.
	As func(value any, in Calls) any
	// Test looks at a value of the right type.
	Test Test
}

// Test looks at one value, which is of its field's type, and reports what is wrong with it. The value of a secret is its
// text, and no message may show any of that.
type Test func(r *Report, path string, value any)

// Calls is a set of calls of an API, one bit for each. A plugin names its own:
//
//	const (
//		inOrder fields.Calls = 1 << iota
//		inReissue
//	)
type Calls uint

// Has reports whether a set has one of the calls.
func (c Calls) Has(calls Calls) bool { return c&calls != 0 }

// Table is what can be ordered. It does not change and may be used from several goroutines.
type Table struct {
	fields []Field
	rows   []Row
	schema []pluginapi.Field
}

// Row is a field in its place.
type Row struct {
	Field
	// Path is that in the order settings: dotted, with "[]" for the elements of lists.
	Path string
	// APIPath is that in the request, in the API's own names.
	APIPath string
}

// Top is the first part of the row's path.
func (r Row) Top() string { return top(r.Path) }

func top(path string) string {
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return path
}

// New makes a table of fields, in the order in which the documentation shows them. fieldstest.Sane holds that it makes
// sense.
func New(list ...Field) *Table {
	return &Table{fields: list, rows: rowsBelow("", "", list), schema: schema(list)}
}

// Schema is what the plugin's Description shows as order settings. What is computed is not among them.
func (t *Table) Schema() []pluginapi.Field { return slices.Clone(t.schema) }

// Rows lists all fields, each table before what is in it.
func (t *Table) Rows() []Row { return slices.Clone(t.rows) }

func rowsBelow(at, api string, list []Field) []Row {
	var out []Row
	for _, f := range list {
		row := Row{Field: f, Path: join(at, f.Name), APIPath: api}
		if !f.Inline {
			row.APIPath = join(api, strings.Join(f.wire(), "."))
		}
		out = append(out, row)
		below := ""
		if f.Type == pluginapi.List {
			below = "[]"
		}
		out = append(out, rowsBelow(row.Path+below, row.APIPath+below, f.Fields)...)
	}
	return out
}

// wire is the name in the request, part by part.
func (f Field) wire() []string {
	if len(f.API) == 0 {
		return []string{f.Name}
	}
	return f.API
}

// settable are the fields that have a place in the configuration.
func settable(list []Field) []Field {
	var out []Field
	for _, f := range list {
		if f.Computed == "" {
			out = append(out, f)
		}
	}
	return out
}

func schema(list []Field) []pluginapi.Field {
	var out []pluginapi.Field
	for _, f := range settable(list) {
		s := pluginapi.Field{
			Name: f.Name, Type: f.Type, Required: f.Required, Secret: f.Secret, Default: f.Default, Allowed: f.Allowed, Help: f.Help,
		}
		switch {
		case f.Type == pluginapi.List && f.Fields != nil:
			s.Element = &pluginapi.Field{Type: pluginapi.Table, Fields: schema(f.Fields)}
		case f.Type == pluginapi.List:
			s.Element = &pluginapi.Field{Type: f.Element}
		default:
			s.Fields = schema(f.Fields)
		}
		out = append(out, s)
	}
	return out
}

func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}
