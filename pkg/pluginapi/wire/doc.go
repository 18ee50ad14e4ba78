// Package wire carries the plugin contract over gRPC: it serves a plugin with one call, gives the daemon a client for
// it, and turns every message that arrives into checked plain Go values.
//
// Nothing that comes in is trusted. A request that breaks the contract is refused with the name of the field before
// the plugin sees it; a reply that breaks it becomes an error for which errors.Is(err, ErrBadReply) holds, and never a
// nil deep inside the daemon. No generated type leaves this package.
package wire

import "time"

// What a message may hold. A message that exceeds one of these is refused as a whole; text for people is cut instead.
const (
	// MaxMessageSize bounds a request and a reply, in bytes.
	MaxMessageSize = 4 << 20

	maxState           = 256 << 10 // opaque state of an order, of an account, a receipt
	maxSettings        = 1 << 20
	maxSettingsDepth   = 16
	maxSecrets         = 1000
	maxSecret          = 256 << 10
	maxReference       = 4 << 10 // an ACME order is named by its URL
	maxText            = 8 << 10
	maxURL             = 8 << 10
	maxCSR             = 64 << 10
	maxCertificate     = 64 << 10
	maxChain           = 16
	maxIdentifiers     = 1000
	maxAuthorizations  = 1000
	maxChallenges      = 32   // of one authorization
	maxChallengeIDs    = 8000 // of one call
	maxChallengeBody   = 64 << 10
	maxRecordValue     = 4 << 10
	maxRecipients      = 100
	maxFields          = 500 // of one table
	maxFieldDepth      = 8
	maxFindings        = 1000
	maxOrderSettings   = 1000
	maxCAAIdentifiers  = 100
	maxCAAMethods      = 100
	maxConcurrentBound = 10_000
	maxDuration        = 10 * 366 * 24 * time.Hour

	// keyAuthorizationDigestSize is that of SHA-256 (RFC 8737 section 3).
	keyAuthorizationDigestSize = 32
)
