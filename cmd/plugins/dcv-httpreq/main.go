// Command dcv-httpreq is the domain control plugin that sends each challenge to an HTTP endpoint of yours: a small service
// in front of a DNS host, so that web servers hold no key to a whole zone.
//
// The endpoint gets the record as it is, as JSON, and says by its status how it went. Both calls may be repeated: the
// contract wants that of publishing and withdrawing, so that a request that got lost is simply sent again.
package main

import (
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeDCV(&publisher{version: version, now: time.Now})
}
