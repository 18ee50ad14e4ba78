// Package cert holds what is known about keys, certificate requests, certificate chains and the files they come in
// (PEM, PKCS#12, JKS): bytes in, values out. It reads no file, no clock and no network, so every function can be
// called from anywhere and tested with a table.
package cert
