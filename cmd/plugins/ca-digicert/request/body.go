package request

import (
	"maps"
	"strconv"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// asFlag: the page of the endpoint decides whether yes and no are true and false, or 1 and 0.
func asFlag(value any, in fields.Calls) any {
	if in != onDV {
		return value
	}
	return fields.ZeroOne(value, in)
}

// asNumber makes a number of a secret's digits. Digits that begin with a zero which counts, as those of a CVV do, stay
// text: a number would lose it. (Not confirmed by DigiCert's pages: that text is accepted in that case.)
func asNumber(value any, _ fields.Calls) any {
	text, _ := value.(string)
	digits, ok := plainDigits(text, 1, 4)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || len(digits) > 2 && digits[0] == '0' {
		return text
	}
	return n
}

func asDigits(value any, _ fields.Calls) any {
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
