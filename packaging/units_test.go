package packaging

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const serviceFile = "systemd/certbridged.service"

// need skips a test whose tool is missing; where everything must be there, it fails.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: %v", tool, err)
		}
		t.Skipf("SKIP: %s is missing", tool)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestUnitsAreValid(t *testing.T) {
	need(t, "systemd-analyze")
	dir := t.TempDir()
	var files []string
	for _, name := range []string{"certbridged.service", "certbridged.socket"} {
		// The program need not be installed where this runs.
		text := strings.Replace(read(t, filepath.Join("systemd", name)), "/usr/bin/certbridged", "/bin/true", 1)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, files...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// finding is what systemd-analyze says about one directive.
type finding struct {
	Name     string `json:"name"`
	Exposure any    `json:"exposure"`
}

func TestServiceIsClosedAndSaysWhatIsLeftOpen(t *testing.T) {
	need(t, "systemd-analyze")
	const most = 20 // tenths
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", fmt.Sprintf("--threshold=%d", most), serviceFile).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		t.Errorf("more open than %d.%d: %s", most/10, most%10, lines[len(lines)-1])
	}
	t.Log(lines[len(lines)-1])

	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--json=short", serviceFile).Output()
	if err != nil {
		t.Fatal(err)
	}
	var findings []finding
	if err := json.Unmarshal(out, &findings); err != nil || len(findings) < 50 {
		t.Fatalf("%d findings: %v", len(findings), err)
	}
	unit := read(t, serviceFile)
	for _, f := range findings {
		if f.Exposure == nil || f.Exposure == "0.0" || f.Exposure == 0.0 {
			continue
		}
		// "SystemCallFilter=~@privileged" is explained where @privileged is, other directives where their name is.
		name, value, _ := strings.Cut(f.Name, "=")
		if strings.HasPrefix(value, "~@") || strings.HasPrefix(value, "~AF_") {
			name = strings.TrimPrefix(value, "~")
		}
		if name = strings.Trim(strings.Split(name, "/")[0], "…"); strings.HasPrefix(name, "AF_(") {
			name = "AF_INET"
		}
		if !strings.Contains(unit, name) {
			t.Errorf("%s is open and no comment says why", f.Name)
		}
	}
}

func TestExamplesOfDropInsAreValid(t *testing.T) {
	need(t, "systemd-analyze")
	text := read(t, "../docs/operations.md")
	dropIns := 0
	for block := range strings.SplitSeq(text, "```ini\n") {
		body, _, closed := strings.Cut(block, "```")
		if !closed || !strings.HasPrefix(body, "[Service]") {
			continue
		}
		dropIns++
		dir := t.TempDir()
		file := filepath.Join(dir, "certbridged.service")
		unit := strings.Replace(read(t, serviceFile), "/usr/bin/certbridged", "/bin/true", 1)
		if err := os.WriteFile(file, []byte(unit+"\n"+body), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("the drop-in\n%s\n%v\n%s", body, err, out)
		}
	}
	if dropIns == 0 {
		t.Error("docs/operations.md shows no drop-in")
	}
}
