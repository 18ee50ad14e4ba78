package request

import (
	"fmt"
	"slices"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The parameters whose names in the API ServerTastic's page does not tell, by the names they have here.
const (
	NoCompanion      = "no_companion"
	PreviousToken    = "previous_order_token"
	Sectigo1         = "sectigo_field_1"
	Sectigo2         = "sectigo_field_2"
	IssuingCA        = "issuing_ca"
	WildcardSANCount = "wildcard_san_count"
)

// Unnamed lists them.
func Unnamed() []string {
	return []string{NoCompanion, PreviousToken, Sectigo1, Sectigo2, IssuingCA, WildcardSANCount}
}

// Spec is a field of place, as productfields describes it for one order.
type Spec struct {
	Name       string
	Required   bool
	Input      string
	Options    []string
	RequiredIf []string
}

// CheckWireNames looks at the account setting wire_names: the API's names for parameters that its page does not name.
func CheckWireNames(names map[string]string, fault func(field, format string, args ...any)) {
	taken := map[string]string{}
	var sorted []string
	for logical := range names {
		sorted = append(sorted, logical)
	}
	slices.Sort(sorted)
	for _, logical := range sorted {
		wire, at := names[logical], "wire_names."+logical
		switch before := taken[wire]; {
		case !slices.Contains(Unnamed(), logical):
			fault(at, "is unknown; known are %s", strings.Join(Unnamed(), ", "))
		case !nameShape.MatchString(wire):
			fault(at, "%q is no name of a parameter", wire)
		case before != "":
			fault(at, "has the same name as wire_names.%s", before)
		case isKnown(wire):
			fault(at, "%s is the name of another parameter", wire)
		}
		taken[wire] = logical
	}
}

// CheckNaming says where an order needs parameters whose names in the API can only be guessed once it is bought. One of
// Sectigo's two is found by itself when the other one's name is known.
func CheckNaming(s pluginapi.Settings, wireNames map[string]string) []pluginapi.Finding {
	first, _ := s.Values[Sectigo1].(string)
	second, _ := s.Values[Sectigo2].(string)
	if ProductOf(s).Family != FamilySectigo || first == "" || second == "" || wireNames[Sectigo1] != "" || wireNames[Sectigo2] != "" {
		return nil
	}
	return []pluginapi.Finding{{
		Severity: pluginapi.Warning, Field: Sectigo1,
		Message: "what ServerTastic's API calls this and sectigo_field_2 is not known: an order that has two fields for them stops once it is bought, until wire_names of the account says which is which; ask ServerTastic before, and set it",
	}}
}

// isKnown reports whether a parameter of the API has a place in the table.
func isKnown(wire string) bool {
	return slices.ContainsFunc(table().Rows(), func(row rowOf) bool { return row.Name == wire && !slices.Contains(Unnamed(), wire) })
}

// resolve finds the API's name of a parameter: the one that was configured, or the only field of the order that it can be.
// There is none, and no error, for Sectigo's two where the order has no field that is required and not known.
func (n *naming) resolve(logical string) (string, error) {
	if wire := n.given[logical]; wire != "" {
		if !n.listed(wire) {
			return "", pluginapi.Errorf(pluginapi.NeedsPerson, "wire_names.%s is %s, and the order has no such field; it has %s", logical, wire, n.all())
		}
		return wire, nil
	}
	var fit []string
	for _, s := range n.specs {
		if !isKnown(s.Name) && !n.taken(s.Name) && looksLike(logical, s) {
			fit = append(fit, s.Name)
		}
	}
	slices.Sort(fit)
	switch {
	case len(fit) == 1:
		n.found[logical] = fit[0]
		return fit[0], nil
	case len(fit) == 0 && (logical == Sectigo1 || logical == Sectigo2):
		return "", nil
	case len(fit) == 0:
		return "", pluginapi.Errorf(pluginapi.NeedsPerson, "no field of the order looks like %s, and wire_names.%s is not set; the order has the fields %s", logical, logical, n.all())
	default:
		return "", pluginapi.Errorf(pluginapi.NeedsPerson, "%s may be any of %s: say which in wire_names.%s; the order has the fields %s", logical, strings.Join(fit, ", "), logical, n.all())
	}
}

// looksLike says by which signs a field is taken for a parameter whose name is not told.
func looksLike(logical string, s Spec) bool {
	name := strings.ToLower(s.Name)
	switch logical {
	case NoCompanion:
		return strings.Contains(name, "www")
	case PreviousToken:
		return strings.Contains(name, "token")
	case Sectigo1, Sectigo2:
		return s.Required
	case IssuingCA:
		return len(s.Options) > 0 && (slices.Contains(strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' }), "ica") ||
			strings.Contains(name, "intermediate") || strings.Contains(name, "ca_cert"))
	default: // it is needed before there is an order that could be asked about
		return false
	}
}

// naming is the names of one order's fields.
type naming struct {
	given map[string]string // wire_names
	found map[string]string // by the order's own fields
	extra map[string]string // extra_fields
	specs []Spec
}

func (n *naming) listed(wire string) bool {
	return slices.ContainsFunc(n.specs, func(s Spec) bool { return s.Name == wire })
}

// taken reports whether a name of the API is spoken for.
func (n *naming) taken(wire string) bool {
	for _, names := range []map[string]string{n.given, n.found} {
		for _, w := range names {
			if w == wire {
				return true
			}
		}
	}
	_, ok := n.extra[wire]
	return ok
}

func (n *naming) all() string {
	var names []string
	for _, s := range n.specs {
		name := s.Name
		if s.Required {
			name += " (required)"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprintf("%d: %s", len(names), strings.Join(names, ", "))
}
