// Command dcv-exec is the domain control plugin that hands each challenge to a program of yours: for DNS hosts and web
// servers that nothing else can reach.
//
// The program gets the record as it is, in its environment and as JSON, and says by its exit status how it went.
package main

import (
	"os"

	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeDCV(&publisher{version: version, environ: os.Environ})
}
