// Command ca-acme is the CA plugin of certbridged for CAs that speak ACME (RFC 8555).
package main

import (
	"github.com/certbridge/certbridged/cmd/plugins/ca-acme/acme"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeCA(acme.New(acme.Options{Version: version}))
}
