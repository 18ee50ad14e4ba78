package tencent

import (
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestDVOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	got := r.MustIssue(r.Order(dv(dvOne), "shop.example.com"))
	r.bought(1, 0)
	if got.CoverageEnd.IsZero() || r.World.Published(pluginapi.PublishTXT) == 0 {
		t.Error("the end of what is paid is missing, or nothing was published")
	}
}
