package daemon_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/control"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// meetingEnv names the folder in which the plugins below wait for each other.
const meetingEnv = "MEETING"

// meet leaves a sign of who came, waits for the other, and leaves another sign when that one did not come.
func meet(ctx context.Context, who, other string) {
	dir := os.Getenv(meetingEnv)
	_ = os.WriteFile(filepath.Join(dir, who), nil, 0o600) // without it the other says that it was alone
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		if _, err := os.Stat(filepath.Join(dir, other)); err == nil {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			_ = os.WriteFile(filepath.Join(dir, who+" was alone"), nil, 0o600)
			return
		}
	}
}

// meetingCA is not described before the other plugin is there.
type meetingCA struct{ pickyCA }

func (m *meetingCA) Describe(ctx context.Context) (pluginapi.Description, error) {
	meet(ctx, "ca", "dcv")
	d, err := m.pickyCA.Describe(ctx)
	d.Name = "meet"
	return d, err
}

type meetingDCV struct{}

func (meetingDCV) Describe(ctx context.Context) (pluginapi.DCVDescription, error) {
	meet(ctx, "dcv", "ca")
	return pluginapi.DCVDescription{Name: "meet", Version: "1"}, nil
}

func (meetingDCV) Configure(context.Context, pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	return pluginapi.DCVConfigured{Abilities: []pluginapi.PublishAbility{pluginapi.PublishACMEHTTP}}, nil
}

func (meetingDCV) Publish(context.Context, pluginapi.Challenge) ([]byte, error) { return nil, nil }

func (meetingDCV) Withdraw(context.Context, pluginapi.Challenge, []byte) error { return nil }

// serveMeeting serves one of the plugins when this process was started as it.
func serveMeeting() bool {
	switch filepath.Base(os.Args[0]) {
	case "ca-meet":
		wire.ServeCA(&meetingCA{})
	case "dcv-meet":
		wire.ServeDCV(meetingDCV{})
	default:
		return false
	}
	return true
}

// The plugins that an order needs start beside each other: here each waits for the other before it says what it is.
func TestPluginsOfAnOrderStartBesideEachOther(t *testing.T) {
	r := newRig(t, `
[[certificate]]
name = "web"
ca = "meet"
domains = ["www.example.com"]
dcv = ["meet"]
[certificate.files]
fullchain = "tls/web.pem"
key = "tls/web.key"
`)
	r.installSelf("ca-meet")
	r.installSelf("dcv-meet")
	r.write("config.toml", `
[daemon]
state_dir = "state"
plugin_dir = "plugins"
control_socket = "control.sock"

[ca.meet]
plugin = "meet"
check_caa = false
settings = { dir = "`+r.dir+`" }
env = { `+meetingEnv+` = "`+r.dir+`" }

[dcv.meet]
plugin = "meet"
env = { `+meetingEnv+` = "`+r.dir+`" }
`, 0o600)
	r.start()
	r.until("web", func(c control.Certificate) bool { return c.Order != nil && c.Order.Phase == "approval" })
	for _, who := range []string{"ca", "dcv"} {
		if _, err := os.Stat(filepath.Join(r.dir, who+" was alone")); err == nil {
			t.Errorf("the plugin %s-meet was started alone", who)
		}
	}
}
