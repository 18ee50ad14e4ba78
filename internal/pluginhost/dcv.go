package pluginhost

import (
	"context"
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// DCV is a DCV profile served by a plugin. The host configures it after each launch. Every error names the plugin and
// the profile once and holds a *pluginapi.Error.
type DCV struct {
	inst *instance

	mu sync.Mutex
	// known is what Configure said in a process of the file in this state. It rests on the file and on settings that never
	// change, so that nobody has to start a process for it.
	known pluginapi.DCVConfigured
	id    identity
}

// Name is the profile's.
func (d *DCV) Name() string { return d.inst.spec.Name }

// Plugin is the file name of its plugin.
func (d *DCV) Plugin() string { return d.inst.file }

// Close lets the profile's process end; calls under way may end, further ones fail.
func (d *DCV) Close() { d.inst.host.drop(d.inst) }

// Wake has the profile's process started without waiting for it, where there is none and Configured would need it: an order is
// about to ask. Whether anything will be published is known to nobody yet.
func (d *DCV) Wake() {
	if _, ok := d.remembered(); !ok {
		d.inst.wake()
	}
}

// Describe says what the plugin is, without a start where that is known of the file.
func (d *DCV) Describe(ctx context.Context) (pluginapi.DCVDescription, error) {
	return describe(ctx, d.inst, func(id identity) (pluginapi.DCVDescription, bool) {
		got, ok := d.inst.host.dcvs[id]
		return got, ok
	})
}

// Findings configures the profile and returns what the plugin noticed about its settings, faults included.
func (d *DCV) Findings(ctx context.Context) ([]pluginapi.Finding, error) {
	return findings(ctx, d.inst)
}

// Configured says what the profile can publish and how long that takes, without a start where that is known of the file.
func (d *DCV) Configured(ctx context.Context) (pluginapi.DCVConfigured, error) {
	if known, ok := d.remembered(); ok {
		return known, nil
	}
	return use(ctx, d.inst, func(ctx context.Context, r *running) (pluginapi.DCVConfigured, error) {
		value, err := d.inst.configure(ctx, r)
		if err == nil {
			d.mu.Lock()
			d.known, d.id = value.dcv, r.id
			d.mu.Unlock()
		}
		return value.dcv, err
	})
}

// remembered is what Configure said in a process of the file as it is now.
func (d *DCV) remembered() (pluginapi.DCVConfigured, bool) {
	id, err := d.inst.host.folder.described(d.inst.file)
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known, err == nil && id == d.id
}

// Publish implements pluginapi.DCV.
func (d *DCV) Publish(ctx context.Context, challenge pluginapi.Challenge) ([]byte, error) {
	return use(ctx, d.inst, func(ctx context.Context, r *running) ([]byte, error) {
		return r.dcv.Publish(ctx, challenge)
	})
}

// Withdraw implements pluginapi.DCV.
func (d *DCV) Withdraw(ctx context.Context, challenge pluginapi.Challenge, receipt []byte) error {
	_, err := use(ctx, d.inst, func(ctx context.Context, r *running) (struct{}, error) {
		return struct{}{}, r.dcv.Withdraw(ctx, challenge, receipt)
	})
	return err
}
