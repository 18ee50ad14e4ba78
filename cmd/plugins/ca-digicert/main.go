// Command ca-digicert is the CA plugin of certbridged for DigiCert CertCentral.
package main

import (
	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/digicert"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeCA(digicert.New(digicert.Options{Version: version}))
}
