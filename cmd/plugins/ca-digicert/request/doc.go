// Package request turns the order settings of a certificate into the bodies of CertCentral's order and reissue calls.
//
// One table of the API's request fields (fields.go and its neighbours) drives the schema that people see, the checks
// that run before anything is sent, the bodies, and the table in docs/ca-digicert.md. Nothing here reaches the network.
package request
