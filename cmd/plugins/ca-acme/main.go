// Command ca-acme is the CA plugin of certbridged for CAs that speak ACME (RFC 8555).
package main

import (
	"runtime/debug"

	"github.com/certbridge/certbridged/cmd/plugins/ca-acme/acme"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

func main() {
	wire.ServeCA(acme.New(acme.Options{Version: version()}))
}

// version is the module version this binary was built from; the package has one for builds that have none.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "(devel)" {
		return ""
	}
	return info.Main.Version
}
