// Package tencent stands in for Tencent Cloud SSL Certificate Service (API 2019-12-05), on the international site or the
// mainland's.
//
// It is written from the service's documentation. Comments that begin with the word Unconfirmed mark what that leaves
// open; docs/sandbox.md lists them. No rule of a client should rest on them.
package tencent
