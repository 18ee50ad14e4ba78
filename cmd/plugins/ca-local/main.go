// Command ca-local is a CA plugin that is a whole private CA in a folder: made on first use, for trying things out, for
// tests, and for names that no public CA may certify.
//
// The folder is the CA. It holds the CA's own keys, every order by its idempotency key, and the revocation list; the
// plugin itself remembers nothing between two calls. It sees certificate requests and never the key of a certificate.
package main

import (
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeCA(&localCA{now: time.Now, version: version})
}
