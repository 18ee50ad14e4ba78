package wire

import (
	"google.golang.org/protobuf/types/known/structpb"
	"math"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

func formatDescription(d pluginapi.Description) (*pb.CAServiceDescribeResponse, error) {
	account, err := formatFields(d.AccountSettings, 0)
	if err != nil {
		return nil, under("account_settings", err)
	}
	order, err := formatFields(d.OrderSettings, 0)
	if err != nil {
		return nil, under("order_settings", err)
	}
	return &pb.CAServiceDescribeResponse{
		Name: d.Name, Version: d.Version, Summary: people(d.Summary),
		Abilities:            enums[pb.Ability](d.Abilities),
		ChallengeTypes:       enums[pb.ChallengeType](d.ChallengeTypes),
		OrdersCostMoney:      d.OrdersCostMoney,
		AccountSettings:      account,
		OrderSettings:        order,
		CsrCommonName:        d.CSRCommonName,
		CaaIdentifiers:       d.CAAIdentifiers,
		CaaMethods:           formatCAAMethods(d.CAAMethods),
		FindOrderSettle:      formatDuration(d.FindOrderSettle),
		ReissueNames:         pb.ReissueNames(d.ReissueNames),
		ReissueAdditionsCost: d.ReissueAdditionsCost,
		PollInterval:         formatDuration(d.PollInterval),
		MaxConcurrentOrders:  int32(min(max(d.MaxConcurrentOrders, -1), maxConcurrentBound+1)),
	}, nil
}

func parseDescription(m *pb.CAServiceDescribeResponse) (pluginapi.Description, error) {
	var none pluginapi.Description
	if err := parseNames(m.GetName(), m.GetVersion()); err != nil {
		return none, err
	}
	d := pluginapi.Description{
		Name: m.GetName(), Version: m.GetVersion(), Summary: people(m.GetSummary()),
		OrdersCostMoney: m.GetOrdersCostMoney(), CSRCommonName: m.GetCsrCommonName(),
		ReissueNames: pluginapi.ReissueAnyNames, ReissueAdditionsCost: m.GetReissueAdditionsCost(),
	}
	var err error
	if d.Abilities, err = knownEnums[pluginapi.Ability]("abilities", m.GetAbilities(), pb.Ability_name); err != nil {
		return none, err
	}
	if d.ChallengeTypes, err = knownEnums[pluginapi.ChallengeType]("challenge_types", m.GetChallengeTypes(), pb.ChallengeType_name); err != nil {
		return none, err
	}
	if d.AccountSettings, err = parseFields(m.GetAccountSettings(), 0); err != nil {
		return none, under("account_settings", err)
	}
	if d.OrderSettings, err = parseFields(m.GetOrderSettings(), 0); err != nil {
		return none, under("order_settings", err)
	}
	if d.CAAIdentifiers, err = parseCAAIdentifiers(m.GetCaaIdentifiers()); err != nil {
		return none, err
	}
	if d.CAAMethods, err = parseCAAMethods(m.GetCaaMethods()); err != nil {
		return none, err
	}
	if d.FindOrderSettle, err = parseDuration("find_order_settle", m.GetFindOrderSettle()); err != nil {
		return none, err
	}
	if d.PollInterval, err = parseDuration("poll_interval", m.GetPollInterval()); err != nil {
		return none, err
	}
	if r := m.GetReissueNames(); r != pb.ReissueNames_REISSUE_NAMES_UNSPECIFIED {
		if d.ReissueNames, err = enum[pluginapi.ReissueNames]("reissue_names", r, pb.ReissueNames_name); err != nil {
			return none, err
		}
	}
	if n := m.GetMaxConcurrentOrders(); n < 0 || n > maxConcurrentBound {
		return none, bad("max_concurrent_orders", "%d is not between 0 and %d", n, maxConcurrentBound)
	}
	d.MaxConcurrentOrders = int(m.GetMaxConcurrentOrders())
	return d, nil
}

func parseCAAIdentifiers(names []string) ([]string, error) {
	if err := counted("caa_identifiers", len(names), maxCAAIdentifiers); err != nil {
		return nil, err
	}
	for i, name := range names {
		if err := dnsName(item("caa_identifiers", i), name, false); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func formatCAAMethods(list []pluginapi.CAAMethod) []*pb.CAAMethod {
	var out []*pb.CAAMethod
	for _, m := range list {
		out = append(out, &pb.CAAMethod{Type: pb.ChallengeType(m.Type), Label: m.Label})
	}
	return out
}

// parseCAAMethods leaves out types that are not known here: a newer plugin may have more.
func parseCAAMethods(list []*pb.CAAMethod) ([]pluginapi.CAAMethod, error) {
	if err := counted("caa_methods", len(list), maxCAAMethods); err != nil {
		return nil, err
	}
	var out []pluginapi.CAAMethod
	for i, m := range list {
		at := item("caa_methods", i)
		if m.GetType() == pb.ChallengeType_CHALLENGE_TYPE_UNSPECIFIED {
			return nil, bad(at+".type", "is not given")
		}
		if !isCAALabel(m.GetLabel()) {
			return nil, bad(at+".label", "%q is not letters, digits and hyphens", people(m.GetLabel()))
		}
		if _, known := pb.ChallengeType_name[int32(m.GetType())]; known {
			out = append(out, pluginapi.CAAMethod{Type: pluginapi.ChallengeType(m.GetType()), Label: m.GetLabel()})
		}
	}
	return out, nil
}

func parseNames(name, version string) error {
	if !isPluginName(name) {
		return bad("name", "%q is not lower-case letters, digits and hyphens", people(name))
	}
	return word("version", version, 256)
}

func formatFields(fields []pluginapi.Field, depth int) ([]*pb.Field, error) {
	if depth > maxFieldDepth {
		return nil, bad("", "is nested more than %d deep", maxFieldDepth)
	}
	var out []*pb.Field
	for i, f := range fields {
		m, err := formatField(f, depth)
		if err != nil {
			return nil, under(item("", i), err)
		}
		out = append(out, m)
	}
	return out, nil
}

func formatField(f pluginapi.Field, depth int) (*pb.Field, error) {
	m := &pb.Field{
		Name: f.Name, Type: pb.FieldType(f.Type), Required: f.Required, Secret: f.Secret, Help: people(f.Help),
	}
	if f.Default != nil {
		v, err := formatValue(f.Default, 0)
		if err != nil {
			return nil, under("default_value", err)
		}
		m.DefaultValue = v
	}
	for i, a := range f.Allowed {
		v, err := formatValue(a, 0)
		if err != nil {
			return nil, under(item("allowed_values", i), err)
		}
		m.AllowedValues = append(m.AllowedValues, v)
	}
	var err error
	if m.Fields, err = formatFields(f.Fields, depth+1); err != nil {
		return nil, under("fields", err)
	}
	if f.Element != nil {
		if depth >= maxFieldDepth {
			return nil, bad("element", "is nested more than %d deep", maxFieldDepth)
		}
		if m.Element, err = formatField(*f.Element, depth+1); err != nil {
			return nil, under("element", err)
		}
	}
	return m, nil
}

func parseFields(list []*pb.Field, depth int) ([]pluginapi.Field, error) {
	if err := counted("", len(list), maxFields); err != nil {
		return nil, err
	}
	var out []pluginapi.Field
	seen := make(map[string]bool)
	for i, m := range list {
		if !isFieldName(m.GetName()) {
			return nil, bad(item("", i)+".name", "%q is not a key in TOML", people(m.GetName()))
		}
		if seen[m.GetName()] {
			return nil, bad(item("", i)+".name", "%q stands there twice", m.GetName())
		}
		seen[m.GetName()] = true
		f, err := parseField(m, depth)
		if err != nil {
			return nil, under(m.GetName(), err)
		}
		out = append(out, f)
	}
	return out, nil
}

func parseField(m *pb.Field, depth int) (pluginapi.Field, error) {
	var none pluginapi.Field
	if depth > maxFieldDepth {
		return none, bad("", "is nested more than %d deep", maxFieldDepth)
	}
	kind, err := enum[pluginapi.FieldType]("type", m.GetType(), pb.FieldType_name)
	if err != nil {
		return none, err
	}
	f := pluginapi.Field{Name: m.GetName(), Type: kind, Required: m.GetRequired(), Secret: m.GetSecret(), Help: people(m.GetHelp())}
	if f.Secret && kind != pluginapi.String && kind != pluginapi.Map {
		return none, bad("secret", "only text can be secret, not a %s", kind)
	}
	if m.GetDefaultValue() != nil {
		if f.Default, err = fieldValue(m.GetDefaultValue(), kind); err != nil {
			return none, under("default_value", err)
		}
	}
	if err := counted("allowed_values", len(m.GetAllowedValues()), maxFields); err != nil {
		return none, err
	}
	for i, a := range m.GetAllowedValues() {
		v, err := fieldValue(a, kind)
		if err != nil {
			return none, under(item("allowed_values", i), err)
		}
		f.Allowed = append(f.Allowed, v)
	}
	if kind != pluginapi.Table && len(m.GetFields()) > 0 {
		return none, bad("fields", "a %s has no keys", kind)
	}
	if f.Fields, err = parseFields(m.GetFields(), depth+1); err != nil {
		return none, under("fields", err)
	}
	if (kind == pluginapi.List) != (m.GetElement() != nil) {
		return none, bad("element", "a list has one, and nothing else has")
	}
	if m.GetElement() != nil {
		e, err := parseField(m.GetElement(), depth+1)
		if err != nil {
			return none, under("element", err)
		}
		f.Element = &e
	}
	return f, nil
}

// fieldValue reads a default or an allowed value, which must have the field's own type.
func fieldValue(m *structpb.Value, kind pluginapi.FieldType) (any, error) {
	v, err := parseValue(m, 0)
	if err != nil {
		return nil, err
	}
	ok := false
	switch kind {
	case pluginapi.String, pluginapi.Duration:
		_, ok = v.(string)
	case pluginapi.Integer:
		_, ok = v.(int64)
	case pluginapi.Number:
		switch n := v.(type) {
		case int64:
			v, ok = float64(n), true
		case float64:
			ok = true
		}
	case pluginapi.Boolean:
		_, ok = v.(bool)
	case pluginapi.Table, pluginapi.Map:
		_, ok = v.(map[string]any)
	case pluginapi.List:
		_, ok = v.([]any)
	}
	if !ok {
		return nil, bad("", "is not a %s", kind)
	}
	return v, nil
}

func formatFindings(list []pluginapi.Finding) []*pb.Finding {
	var out []*pb.Finding
	for _, f := range list {
		out = append(out, &pb.Finding{
			Severity: pb.Severity(f.Severity), Field: people(f.Field), Message: people(f.Message),
			Order: uint32(min(max(f.Order, 0), math.MaxUint32)),
		})
	}
	return out
}

func parseFindings(list []*pb.Finding) ([]pluginapi.Finding, error) {
	if err := counted("findings", len(list), maxFindings); err != nil {
		return nil, err
	}
	var out []pluginapi.Finding
	for i, m := range list {
		s, err := enum[pluginapi.Severity]("severity", m.GetSeverity(), pb.Severity_name)
		if err != nil {
			return nil, under(item("findings", i), err)
		}
		if m.GetMessage() == "" {
			return nil, bad(item("findings", i)+".message", "is empty")
		}
		if err := optionalWord("field", m.GetField(), 1024); err != nil {
			return nil, under(item("findings", i), err)
		}
		out = append(out, pluginapi.Finding{Severity: s, Field: m.GetField(), Message: people(m.GetMessage()), Order: int(m.GetOrder())})
	}
	return out, nil
}

func formatDCVDescription(d pluginapi.DCVDescription) (*pb.DCVServiceDescribeResponse, error) {
	fields, err := formatFields(d.Settings, 0)
	if err != nil {
		return nil, under("settings", err)
	}
	return &pb.DCVServiceDescribeResponse{Name: d.Name, Version: d.Version, Summary: people(d.Summary), Settings: fields}, nil
}

func parseDCVDescription(m *pb.DCVServiceDescribeResponse) (pluginapi.DCVDescription, error) {
	if err := parseNames(m.GetName(), m.GetVersion()); err != nil {
		return pluginapi.DCVDescription{}, err
	}
	fields, err := parseFields(m.GetSettings(), 0)
	if err != nil {
		return pluginapi.DCVDescription{}, under("settings", err)
	}
	return pluginapi.DCVDescription{
		Name: m.GetName(), Version: m.GetVersion(), Summary: people(m.GetSummary()), Settings: fields,
	}, nil
}

func formatDCVConfigured(c pluginapi.DCVConfigured) *pb.DCVServiceConfigureResponse {
	return &pb.DCVServiceConfigureResponse{
		Findings:            formatFindings(c.Findings),
		Abilities:           enums[pb.PublishAbility](c.Abilities),
		PropagationTimeout:  formatDuration(c.PropagationTimeout),
		PropagationInterval: formatDuration(c.PropagationInterval),
		Sequential:          c.Sequential,
		SequentialPerName:   c.SequentialPerName,
		FilesIgnoreHost:     c.FilesIgnoreHost,
	}
}

func parseDCVConfigured(m *pb.DCVServiceConfigureResponse) (pluginapi.DCVConfigured, error) {
	var none, c pluginapi.DCVConfigured
	var err error
	if c.Findings, err = parseFindings(m.GetFindings()); err != nil {
		return none, err
	}
	if c.Abilities, err = knownEnums[pluginapi.PublishAbility]("abilities", m.GetAbilities(), pb.PublishAbility_name); err != nil {
		return none, err
	}
	if c.PropagationTimeout, err = parseDuration("propagation_timeout", m.GetPropagationTimeout()); err != nil {
		return none, err
	}
	if c.PropagationInterval, err = parseDuration("propagation_interval", m.GetPropagationInterval()); err != nil {
		return none, err
	}
	c.Sequential, c.SequentialPerName = m.GetSequential(), m.GetSequentialPerName()
	c.FilesIgnoreHost = m.GetFilesIgnoreHost()
	return c, nil
}
