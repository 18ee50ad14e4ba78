// Command ca-fake is a CA plugin for tests: it orders from a shop that the test runs, as a commercial CA's plugin would
// from the CA. Orders cost money there, and the shop counts them.
package main

import "github.com/certbridge/certbridged/pkg/pluginapi/wire"

func main() { wire.ServeCA(&fakeCA{}) }
