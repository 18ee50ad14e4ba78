// Dcv-lego is the domain control plugin that publishes through the DNS and HTTP providers of lego.
package main

import (
	"fmt"
	"os"

	"github.com/go-acme/lego/v4/providers/dns"
	"github.com/go-acme/lego/v4/providers/http/memcached"
	"github.com/go-acme/lego/v4/providers/http/s3"
	"github.com/go-acme/lego/v4/providers/http/webroot"
)

func main() {
	_, _, _, _ = dns.NewDNSChallengeProviderByName, memcached.NewMemcachedProvider, s3.NewHTTPProvider, webroot.NewHTTPProvider
	fmt.Fprintln(os.Stderr, "not finished yet")
	os.Exit(1)
}
