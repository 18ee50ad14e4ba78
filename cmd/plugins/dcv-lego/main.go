// Dcv-lego is the domain control plugin that publishes through the DNS and HTTP providers of lego.
package main

import (
	"github.com/go-acme/lego/v4/providers/dns"

	"github.com/certbridge/certbridged/cmd/plugins/dcv-lego/publisher"
	"github.com/certbridge/certbridged/pkg/pluginapi/wire"
)

// version is set by the linker: -ldflags "-X main.version=...".
var version = "devel"

func main() {
	wire.ServeDCV(publisher.New(publisher.Options{Version: version, DNSProvider: dns.NewDNSChallengeProviderByName}))
}
