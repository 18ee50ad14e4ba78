// Package fieldstest is for the tests of a CA plugin's table of order settings: it holds the table against the CA's own
// lists of fields, and the documentation against the table.
//
//	var update = flag.Bool("update", false, "write the table in the documentation anew")
//
//	func TestTable(t *testing.T) {
//		fieldstest.Sane(t, table())
//		fieldstest.Covers(t, table(), fieldstest.Lists{
//			Pages:     []fieldstest.Page{{File: "testdata/page-order.txt", In: inOrder, Count: 57}},
//			Different: map[string]string{"years": "text on the page, for it was a form once: a number here"},
//		})
//		fieldstest.Documented(t, *update, "../../../docs/ca-example.md", begin, end, table().Markdown("order", "reissue"))
//	}
package fieldstest
