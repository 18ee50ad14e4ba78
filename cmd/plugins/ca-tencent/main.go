// Command ca-tencent is the CA plugin of certbridged for Tencent Cloud SSL certificates.
package main

import (
	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/tencent"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeCA(tencent.New(tencent.Options{Version: version}))
}
