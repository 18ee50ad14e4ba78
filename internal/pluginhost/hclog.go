package pluginhost

import (
	"fmt"
	"io"
	"log"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// quietLog takes go-plugin's own remarks to slog at level debug: what they tell that matters, the host tells itself.
type quietLog struct {
	hclog.Logger // a null logger, for what is not overridden
	log          *slog.Logger
	mask         *masker
}

func newQuietLog(log *slog.Logger, mask *masker) *quietLog {
	return &quietLog{Logger: hclog.NewNullLogger(), log: log, mask: mask}
}

func (q *quietLog) write(message string, args []any) {
	facts := make([]any, 0, len(args)+2)
	facts = append(facts, "remark", clip(q.mask.text(message), maxLine))
	for i := 0; i+1 < len(args); i += 2 {
		facts = append(facts, fmt.Sprint(args[i]), clip(q.mask.text(fmt.Sprint(args[i+1])), maxLine))
	}
	q.log.Debug("plugin launcher", facts...)
}

// Log writes at level debug.
func (q *quietLog) Log(_ hclog.Level, message string, args ...any) { q.write(message, args) }

// Trace drops: it is written for every chunk of output.
func (q *quietLog) Trace(string, ...any) {}

// Debug writes at level debug.
func (q *quietLog) Debug(message string, args ...any) { q.write(message, args) }

// Info writes at level debug.
func (q *quietLog) Info(message string, args ...any) { q.write(message, args) }

// Warn writes at level debug.
func (q *quietLog) Warn(message string, args ...any) { q.write(message, args) }

// Error writes at level debug.
func (q *quietLog) Error(message string, args ...any) { q.write(message, args) }

// With, Named and ResetNamed keep the logger: the plugin's name stands in every record already.
func (q *quietLog) With(...any) hclog.Logger { return q }

// Named keeps the logger.
func (q *quietLog) Named(string) hclog.Logger { return q }

// ResetNamed keeps the logger.
func (q *quietLog) ResetNamed(string) hclog.Logger { return q }

// StandardLogger drops.
func (q *quietLog) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}

// StandardWriter drops.
func (q *quietLog) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
