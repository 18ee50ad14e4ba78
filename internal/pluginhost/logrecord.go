package pluginhost

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// logRecord is a line of a plugin's log: what it says, how bad that is, and the facts that came with it.
type logRecord struct {
	text  string
	level slog.Level
	attrs []slog.Attr
}

// logRecord reads a line that is a JSON object of hclog, which docs/plugins.md asks for, or of slog. It reports false for any
// other line, whose text stands for all of it. The line is free of secrets already; what its escapes hid is looked at again.
func (o *output) logRecord(line string) (logRecord, bool) {
	r := logRecord{text: line}
	var fields map[string]any
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &fields) != nil {
		return r, false
	}
	text, ok := fields["@message"].(string)
	level := fields["@level"]
	if !ok {
		if text, ok = fields["msg"].(string); !ok {
			return r, false
		}
		level = fields["level"]
	}
	r.text, r.level = clip(o.mask.text(text), maxLine), levelOf(level)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		switch key {
		case "@message", "@level", "@timestamp", "msg", "level", "time": // the daemon's own log has these
		default:
			r.attrs = append(r.attrs, slog.String(o.mask.text(key), clip(o.mask.text(valueText(fields[key])), maxLine)))
		}
	}
	return r, true
}

func valueText(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	if text, err := json.Marshal(v); err == nil {
		return string(text)
	}
	return fmt.Sprint(v)
}

// levelOf reads the name of a level; one that is not known is of level info.
func levelOf(name any) slog.Level {
	text, _ := name.(string)
	switch strings.ToLower(text) {
	case "trace", "debug":
		return slog.LevelDebug
	case "warn", "warning":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
