package fields

import (
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// mostListed is up to how many allowed values stand in the documentation's table.
const mostListed = 6

// Markdown is the table as the documentation has it, with an empty line before and after. calls are the words for the
// calls that a field is In, from the lowest bit on.
func (t *Table) Markdown(calls ...string) string {
	var b strings.Builder
	b.WriteString("\n| field of the API | in TOML | type | needed | where | meaning | checked |\n|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		api, toml := "`"+r.APIPath+"`", "`"+r.Path+"`"
		if r.Own || r.Inline {
			api = "–"
		}
		if r.Computed != "" {
			toml = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", api, toml, r.typeWords(), r.needed(), r.where(calls), cell(r.Help), cell(r.checked()))
	}
	return b.String() + "\n"
}

// cell is text that cannot end the cell it stands in.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text)
}

func (r Row) checked() string {
	var parts []string
	if r.Deprecated != "" {
		parts = append(parts, "deprecated, warned about")
	}
	if r.Computed != "" {
		return strings.Join(append(parts, "cannot be set: it is "+r.Computed), "; ")
	}
	if n := len(r.Allowed); n > 0 && n <= mostListed {
		list := make([]string, n)
		for i, v := range r.Allowed {
			list[i] = fmt.Sprintf("`%v`", v)
		}
		parts = append([]string{"one of " + strings.Join(list, ", ")}, parts...)
	}
	if r.Rule != "" {
		parts = append(parts, r.Rule)
	}
	return strings.Join(parts, "; ")
}

func (r Row) typeWords() string {
	switch {
	case r.Secret:
		return "secret"
	case r.Type == pluginapi.List && r.Fields != nil:
		return "list of tables"
	case r.Type == pluginapi.List:
		return "list of " + r.Element.String() + "s"
	default:
		return r.Type.String()
	}
}

func (r Row) needed() string {
	switch {
	case r.Computed != "":
		return "computed"
	case r.Required:
		return "yes"
	case r.Default != nil:
		return fmt.Sprintf("default `%v`", r.Default)
	default:
		return "no"
	}
}

// where says which calls take the field.
func (r Row) where(calls []string) string {
	var out []string
	for i, name := range calls {
		if r.In.Has(1 << i) {
			out = append(out, name)
		}
	}
	if out == nil {
		return "not sent"
	}
	return strings.Join(out, ", ")
}
