// Package request turns the order settings of a certificate into the bodies of Tencent Cloud's calls: the purchase, the
// materials, the order to the CA, and a reissue.
//
// One table of the API's request fields (fields.go) drives the schema that people see, the checks that run before anything
// is sent, the bodies, and the table in docs/ca-tencent.md. A purchase is paid at once and its materials are handed in
// afterwards, so that what is wrong with them has to be found before. Nothing here reaches the network.
package request
