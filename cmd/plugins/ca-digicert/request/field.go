package request

import (
	"sync"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// The calls that take a field, as the pages of DigiCert's documentation have it.
const (
	onHint    fields.Calls = 1 << iota // POST order/certificate/ssl, with product.type_hint
	onDV                               // POST order/certificate/{DV product}
	onReissue                          // POST order/certificate/{order_id}/reissue
)

// table is every request field of DigiCert's two order pages (Order SSL with type_hint, and Order DV SSL) and the few
// settings that are ours. It is made once, and read only.
var table = sync.OnceValue(func() *fields.Table { return fields.New(allFields()...) })

// Fields is the schema of the order settings: the API's own names and nesting. What is computed is not among them.
func Fields() []pluginapi.Field { return table().Schema() }
