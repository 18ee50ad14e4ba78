package wire

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// maxExactInteger is the largest whole number that a double, and so a google.protobuf.Value, holds exactly together
// with all the smaller ones.
const maxExactInteger = 1 << 53

func formatSettings(s pluginapi.Settings) (*structpb.Struct, map[string]string, error) {
	values, err := formatTable(s.Values, 0)
	if err != nil {
		return nil, nil, under("settings", err)
	}
	secrets := make(map[string]string, len(s.Secrets))
	for path, secret := range s.Secrets {
		secrets[path] = secret.Reveal()
	}
	return values, secrets, nil
}

func parseSettings(values *structpb.Struct, secrets map[string]string) (pluginapi.Settings, error) {
	var none pluginapi.Settings
	if proto.Size(values) > maxSettings {
		return none, bad("settings", "are larger than %d bytes", maxSettings)
	}
	table, err := parseTable(values, 0)
	if err != nil {
		return none, under("settings", err)
	}
	out := pluginapi.Settings{Values: table, Secrets: make(map[string]pluginapi.Secret, len(secrets))}
	if err := counted("secrets", len(secrets), maxSecrets); err != nil {
		return none, err
	}
	for path, text := range secrets {
		if err := word("secrets", path, 1024); err != nil {
			return none, err
		}
		// Neither message may show the text.
		if len(text) > maxSecret {
			return none, bad("secrets."+path, "is longer than %d bytes", maxSecret)
		}
		if !utf8.ValidString(text) {
			return none, bad("secrets."+path, "is not valid UTF-8")
		}
		out.Secrets[path] = pluginapi.NewSecret(text)
	}
	return out, nil
}

// maxResolvers is more than any resolver library asks.
const maxResolvers = 16

func parseDCVProfile(m *pb.DCVServiceConfigureRequest) (pluginapi.DCVProfile, error) {
	settings, err := parseSettings(m.GetSettings(), m.GetSecrets())
	if err != nil {
		return pluginapi.DCVProfile{}, err
	}
	if err := counted("dns_resolvers", len(m.GetDnsResolvers()), maxResolvers); err != nil {
		return pluginapi.DCVProfile{}, err
	}
	for i, address := range m.GetDnsResolvers() {
		if at, err := netip.ParseAddrPort(address); err != nil || at.Port() == 0 {
			return pluginapi.DCVProfile{}, bad(item("dns_resolvers", i), "%.100q is not an IP address and a port", address)
		}
	}
	return pluginapi.DCVProfile{Settings: settings, DNSResolvers: m.GetDnsResolvers()}, nil
}

func formatTable(values map[string]any, depth int) (*structpb.Struct, error) {
	out := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(values))}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := word("", key, 1024); err != nil {
			return nil, err
		}
		v, err := formatValue(values[key], depth+1)
		if err != nil {
			return nil, under(key, err)
		}
		out.Fields[key] = v
	}
	return out, nil
}

func formatValue(value any, depth int) (*structpb.Value, error) {
	if depth > maxSettingsDepth {
		return nil, bad("", "is nested more than %d deep", maxSettingsDepth)
	}
	switch v := value.(type) {
	case string:
		if !utf8.ValidString(v) {
			return nil, bad("", "is not valid UTF-8")
		}
		return structpb.NewStringValue(v), nil
	case bool:
		return structpb.NewBoolValue(v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, bad("", "is not a finite number")
		}
		return structpb.NewNumberValue(v), nil
	case int:
		return formatInteger(int64(v))
	case int64:
		return formatInteger(v)
	case map[string]any:
		table, err := formatTable(v, depth)
		if err != nil {
			return nil, err
		}
		return structpb.NewStructValue(table), nil
	case []any:
		return formatList(v, depth)
	case []string:
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return formatList(list, depth)
	case []map[string]any: // what a TOML decoder makes of an array of tables
		list := make([]any, len(v))
		for i := range v {
			list[i] = v[i]
		}
		return formatList(list, depth)
	default:
		return nil, bad("", "has the type %T, which a setting cannot have", value)
	}
}

func formatInteger(n int64) (*structpb.Value, error) {
	if n > maxExactInteger || n < -maxExactInteger {
		return nil, bad("", "%d is beyond ±2^53; write it as text if the plugin takes text", n)
	}
	return structpb.NewNumberValue(float64(n)), nil
}

func formatList(list []any, depth int) (*structpb.Value, error) {
	out := &structpb.ListValue{Values: make([]*structpb.Value, 0, len(list))}
	for i, e := range list {
		v, err := formatValue(e, depth+1)
		if err != nil {
			return nil, under(item("", i), err)
		}
		out.Values = append(out.Values, v)
	}
	return structpb.NewListValue(out), nil
}

func parseTable(s *structpb.Struct, depth int) (map[string]any, error) {
	out := make(map[string]any, len(s.GetFields()))
	for _, key := range slices.Sorted(maps.Keys(s.GetFields())) {
		if err := word("", key, 1024); err != nil {
			return nil, err
		}
		v, err := parseValue(s.GetFields()[key], depth+1)
		if err != nil {
			return nil, under(key, err)
		}
		out[key] = v
	}
	return out, nil
}

func parseValue(v *structpb.Value, depth int) (any, error) {
	if depth > maxSettingsDepth {
		return nil, bad("", "is nested more than %d deep", maxSettingsDepth)
	}
	switch k := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		if !utf8.ValidString(k.StringValue) {
			return nil, bad("", "is not valid UTF-8")
		}
		return k.StringValue, nil
	case *structpb.Value_BoolValue:
		return k.BoolValue, nil
	case *structpb.Value_NumberValue:
		return parseNumber(k.NumberValue)
	case *structpb.Value_StructValue:
		return parseTable(k.StructValue, depth)
	case *structpb.Value_ListValue:
		out := make([]any, 0, len(k.ListValue.GetValues()))
		for i, e := range k.ListValue.GetValues() {
			v, err := parseValue(e, depth+1)
			if err != nil {
				return nil, under(item("", i), err)
			}
			out = append(out, v)
		}
		return out, nil
	default:
		return nil, bad("", "has no value")
	}
}

// parseNumber gives back an int64 for what can have been one: the wire knows one kind of number only.
func parseNumber(n float64) (any, error) {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, bad("", "is not a finite number")
	}
	if n == math.Trunc(n) && math.Abs(n) <= maxExactInteger {
		return int64(n), nil
	}
	return n, nil
}
