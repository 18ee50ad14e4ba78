package request

import (
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

const (
	documentation = "../../../../docs/ca-digicert.md"
	tableBegins   = "<!-- fields: written by go test ./cmd/plugins/ca-digicert/request -update -->\n"
	tableEnds     = "<!-- end of fields -->\n"
)

func TestDocumentationHasTheTable(t *testing.T) {
	fieldstest.Documented(t, *update, documentation, tableBegins, tableEnds, table().Markdown("`ssl`", "DV", "reissue"))
}
