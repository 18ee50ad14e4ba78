package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/plugintest"
	"github.com/certbridge/certbridged/test/dcvplugins"
	"github.com/certbridge/certbridged/test/peer"
)

// asPlugin in the environment makes the test binary the plugin itself.
const asPlugin = "DCV_EXEC_TEST_AS_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(asPlugin) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// recorder is a program that keeps one file for each record, from what its environment says, if its input says the same.
const recorder = `#!/bin/sh
set -eu
input=$(cat)
case $input in
'{"action":"'$CERTBRIDGED_ACTION'","type":"'$CERTBRIDGED_TYPE'",'*) ;;
*) echo "input is $input" >&2; exit 65 ;;
esac
[ "$1" = "with space" ] && [ "$2" = "$CERTBRIDGED_ACTION" ] || { echo "arguments are $*" >&2; exit 64; }
[ -z "${CERTBRIDGED_PLUGIN-}${PLUGIN_CLIENT_CERT-}" ] || { echo "the handshake is handed on" >&2; exit 70; }
file=$RECORDS/$(printf %s "$CERTBRIDGED_TYPE $CERTBRIDGED_NAME$CERTBRIDGED_HOST$CERTBRIDGED_PATH $CERTBRIDGED_VALUE$CERTBRIDGED_BODY" | tr / _)
case $2 in
publish) : >"$file" ;;
withdraw) rm -f "$file" ;;
esac
`

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	peer.WriteProgram(t, path, []byte(text))
	return path
}

func challenges() []pluginapi.Challenge {
	record := func(id, name string, kind pluginapi.RecordType, value string) pluginapi.Challenge {
		return pluginapi.Challenge{ID: id, Identifier: "shop.example.com", DNS: &pluginapi.DNSRecord{Name: name, Type: kind, Value: value}}
	}
	return []pluginapi.Challenge{
		record("1", "_dnsauth.shop.example.com", pluginapi.TXT, `one "quoted" $(value) \ 'x'`),
		record("2", "_dnsauth.shop.example.com", pluginapi.TXT, "two"),
		record("3", "_token.shop.example.com", pluginapi.CNAME, "dcv.ca.example"),
		{ID: "4", Identifier: "shop.example.com", HTTP: &pluginapi.HTTPFile{
			Host: "shop.example.com", Path: "/.well-known/pki-validation/fileauth.txt", Body: "body",
		}},
	}
}

func TestConformance(t *testing.T) {
	records := t.TempDir()
	program := script(t, recorder)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []any{program, "with space"}
	report := plugintest.Test(t, plugintest.Options{
		Path: path, Env: []string{asPlugin + "=1", "RECORDS=" + records},
		Settings: pluginapi.Settings{Values: map[string]any{"command": command, "publishes": []any{"txt", "cname", "file"}}},
		BadSettings: []pluginapi.Settings{
			{Values: map[string]any{"command": []any{}}},
			{Values: map[string]any{"command": []any{""}}},
			{Values: map[string]any{"command": []any{"./program"}}},
			{Values: map[string]any{"command": []any{program + "-that-is-not-there"}}},
			{Values: map[string]any{"command": []any{records}}}, // a folder
			{Values: map[string]any{"command": command, "publishes": []any{}}},
			{Values: map[string]any{"command": command, "publishes": []any{"mail"}}},
			{Values: map[string]any{"command": command, "timeout": "1ms"}},
		},
		Challenges: challenges(),
		Published: func(_ context.Context, c pluginapi.Challenge) (bool, error) {
			j, err := jobOf("", c)
			if err != nil {
				return false, err
			}
			name := strings.ReplaceAll(j.Type+" "+j.Name+j.Host+j.Path+" "+j.Value+j.Body, "/", "_")
			_, err = os.Stat(filepath.Join(records, name))
			if errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
			return err == nil, err
		},
	})
	for _, c := range report.Checks {
		if c.Result == plugintest.Skip {
			t.Errorf("%s was skipped: %s", c.Name, c.Words)
		}
	}
}

func TestDocumented(t *testing.T) { dcvplugins.Documented(t, "exec", schema()) }
