package tencent

import (
	"flag"
	"testing"

	"github.com/certbridge/certbridged/internal/sandbox/sandboxtest"
)

var updateDocs = flag.Bool("update", false, "write the list of unconfirmed points into docs/sandbox.md")

// Whoever relies on the stand-in must be able to see what it only assumes.
func TestUnconfirmedPointsAreListed(t *testing.T) {
	sandboxtest.Unconfirmed(t, "../../../docs/sandbox.md", "Tencent Cloud", 25, *updateDocs)
}
