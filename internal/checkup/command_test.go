package checkup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNoCommandSaysWhatToDo(t *testing.T) {
	script := filepath.Join(t.TempDir(), "hook.sh")
	if err := os.WriteFile(script, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"ngnix":                  `there is no command "ngnix"`,
		"systemctl reload nginx": `["systemctl", "reload", "nginx"]`,
		script:                   "chmod +x " + script,
		filepath.Dir(script):     "there is no command",
		script + ".bak":          "there is no command",
	} {
		if got := noCommand(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q in it", name, got, want)
		}
	}
}
