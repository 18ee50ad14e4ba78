package restca

import (
	"cmp"
	"log/slog"
	"time"
)

// Process is what a plugin's process knows about itself. The zero value will do; see WithDefaults.
type Process struct {
	// Version is the plugin's version; it stands in Describe and in the user agent. Empty means "devel".
	Version string
	// Now is the clock that decisions are made by; nil is time.Now.
	Now func() time.Time
	// Logger takes remarks; nil is the process's default at the time Log is called: wire sets that before Configure.
	Logger *slog.Logger
}

// WithDefaults fills in Version and Now.
func (p Process) WithDefaults() Process {
	p.Version = cmp.Or(p.Version, "devel")
	if p.Now == nil {
		p.Now = time.Now
	}
	return p
}

// UserAgent is how the plugin calls itself in requests to the CA.
func (p Process) UserAgent() string { return "certbridged/" + p.Version }

// Log returns the logger.
func (p Process) Log() *slog.Logger { return cmp.Or(p.Logger, slog.Default()) }
