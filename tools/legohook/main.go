// Legohook makes the copy of lego that dcv-lego is built with: lego as it is published, but for two functions that let
// a caller name the record or the path itself. docs/adr/0006-literal-records.md says why.
//
//	go run ./tools/legohook -out build
//	GOWORK=off go build -modfile=build/lego.mod ./cmd/plugins/dcv-lego
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "legohook:", err)
		os.Exit(1)
	}
}

// run makes or renews the copy, and says so where it was not as it should be already.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("legohook", flag.ContinueOnError)
	out := flags.String("out", "build", "the folder to make the copy in")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; usage: legohook [-out FOLDER]", flags.Arg(0))
	}
	changed, err := makeCopy(ctx, *out)
	if err != nil {
		return err
	}
	if changed {
		fmt.Fprintf(stdout, "made %s: lego %s with literal records\n", filepath.Join(*out, copyName), version)
	}
	return nil
}

// makeCopy brings a folder to hold the copy and the module files that select it. It reports whether it had to write.
func makeCopy(ctx context.Context, out string) (changed bool, err error) {
	own, lego, err := findModules(ctx)
	if err != nil {
		return false, err
	}
	files, err := readModule(lego.Dir)
	if err != nil {
		return false, fmt.Errorf("read lego: %w", err)
	}
	if err := hook(files, lego.Version); err != nil {
		return false, err
	}
	if err := checkComplete(files); err != nil {
		return false, err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return false, err
	}
	if out, err = realPath(out); err != nil {
		return false, err
	}
	selectors, err := moduleFiles(own, out)
	if err != nil {
		return false, err
	}
	return publish(out, files, selectors)
}
