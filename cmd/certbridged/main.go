// Certbridged is the certificate daemon for CAs that send an invoice, and its command line.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the configuration has mistakes, 4 no daemon answers, 5 not allowed,
// 6 no such certificate, order or plugin, 7 a person must act first.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() { os.Exit(mainCode()) }

// mainCode runs the program and returns its exit code.
func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal ends the work in good order, the second one at once.
	context.AfterFunc(ctx, stop)
	return execute(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr})
}
