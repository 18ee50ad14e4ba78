package packaging

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const manFile = "man/certbridged.8"

func TestManualPageIsWellFormed(t *testing.T) {
	need(t, "man")
	cmd := exec.Command("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", manFile)
	var warnings strings.Builder
	cmd.Stderr = &warnings
	if err := cmd.Run(); err != nil || warnings.Len() > 0 {
		t.Errorf("man: %v\n%s", err, warnings.String())
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z]+) {2,}\S`)
	flagLine    = regexp.MustCompile(`(?m)^ +(?:-[a-z], )?--([a-z-]+)`)
)

// Every command and flag of the program is in the manual page.
func TestManualPageKnowsAllCommands(t *testing.T) {
	program := filepath.Join(t.TempDir(), "certbridged")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/certbridge/certbridged/cmd/certbridged").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	page := strings.NewReplacer(`\-`, "-", `\fR`, "", `\fI`, "").Replace(read(t, manFile))
	seen := 0
	var visit func(path ...string)
	visit = func(path ...string) {
		out, err := exec.Command(program, append(path, "--help")...).Output()
		if err != nil {
			t.Fatalf("%v --help: %v", path, err)
		}
		help, _, _ := strings.Cut(string(out), "\nGlobal Flags:")
		_, flags, _ := strings.Cut(help, "\nFlags:")
		for _, m := range flagLine.FindAllStringSubmatch(flags, -1) {
			if !strings.Contains(page, "--"+m[1]) {
				t.Errorf("the manual page does not know --%s of %v", m[1], path)
			}
		}
		_, commands, ok := strings.Cut(help, "\nAvailable Commands:")
		if !ok {
			seen++
			if name := strings.Join(path, " "); !regexp.MustCompile(`(?m)^\.BI?R? "?` + name + `\b`).MatchString(page) {
				t.Errorf("the manual page does not know the command %q", name)
			}
			return
		}
		commands, _, _ = strings.Cut(commands, "\nFlags:")
		for _, m := range commandLine.FindAllStringSubmatch(commands, -1) {
			if m[1] != "help" && m[1] != "completion" { // completion has a subcommand for each shell
				visit(append(append([]string{}, path...), m[1])...)
			}
		}
	}
	visit()
	if seen < 15 {
		t.Errorf("only %d commands seen", seen)
	}
}
