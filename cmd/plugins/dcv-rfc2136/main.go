// Command dcv-rfc2136 is the domain control plugin for name servers that take dynamic updates (RFC 2136), such as BIND, Knot
// and PowerDNS. It publishes TXT and CNAME records of any name.
//
// Every update is one message that adds or deletes one record, so that whatever else stands at the name stays as it is,
// and it is signed (TSIG, RFC 8945) where a key is given.
package main

import (
	"runtime"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	// Whoever does nothing but wait for two others does that on one processor: waking up a second one is a twentieth of the work.
	runtime.GOMAXPROCS(1)
	wire.ServeDCV(&publisher{version: version, now: time.Now})
}
