// Package fields lets a CA plugin say once, in a table, what can be ordered: the request fields of the CA's API and the
// settings of its own beside them.
//
// A certificate's order settings carry the names and the nesting of the CA's API, so that whoever knows the API knows the
// settings. Such an API has dozens of fields, and each is needed in five places: the schema that people see, the checks
// that run before money is spent, the request that is sent, the documentation, and the test that no field of the CA's
// pages was forgotten. From one Table follow all five:
//
//	var table = sync.OnceValue(func() *fields.Table {
//		return fields.New(
//			fields.Field{Name: "product", Type: pluginapi.String, Required: true, In: inOrder, Test: fields.Word,
//				Help: "Product to order.", Rule: "letters and digits"},
//			fields.Field{Name: "years", Type: pluginapi.Integer, Default: int64(1), In: inOrder, Test: fields.Between(1, 3),
//				Help: "For how long it is paid.", Rule: "1 to 3"},
//			fields.Field{Name: "csr", Type: pluginapi.String, In: inOrder | inReissue, Computed: "made with the certificate's key",
//				Help: "Certificate request."},
//		)
//	})
//
//	table().Schema()           // for Description.OrderSettings
//	r := table().Check(s, now) // every mistake that one value shows by itself
//	if r.Text("product") == "x" && r.Has("years") { // then the rules between fields, which are the plugin's own
//		r.Faultf("years", "belongs to another product: remove it")
//	}
//	found := r.Findings()
//	err := fields.Refusal(found, nil) // what keeps the order from being sent
//	body := fields.Body{}
//	table().Fill(body, s, fields.Out{In: inOrder})
//	body["csr"] = csr
//	text, err := body.JSON()   // or body.Form(nil), for an API that takes forms
//	table().Markdown("order", "reissue")
//
// What people write is data that was never seen before: all of it is checked, each mistake is named with its path and what
// to do, all mistakes come at once, and no message shows a secret.
//
// The subpackage fieldstest holds a table against the CA's own lists of fields, and the documentation against the table.
// Nothing here reaches the network.
package fields
