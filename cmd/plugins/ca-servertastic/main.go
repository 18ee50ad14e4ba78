// Command ca-servertastic is the CA plugin of certbridged for ServerTastic, a reseller of DigiCert's and Sectigo's brands.
package main

import (
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeCA(servertastic.New(servertastic.Options{Version: version}))
}
