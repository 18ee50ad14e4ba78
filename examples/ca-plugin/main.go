// Command ca-notary is a CA plugin for the Notary, a small commercial CA with an HTTP API that exists for this example.
package main

import "github.com/certbridge/certbridged/pkg/pluginapi/wire"

func main() { wire.ServeCA(&notary{}) }
