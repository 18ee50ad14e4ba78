// Package sandbox holds what the stand-ins for commercial CAs have in common: issuing chains, looking at domain control,
// misbehaving on demand, counting what was bought, a clock that can be set, and checking requests field by field.
//
// A stand-in speaks one CA's API as its documentation describes it, stricter than the CA itself where that catches a
// client's mistake, so that a configuration can be rehearsed without spending money. Its certificates are worth nothing.
// It is written from the documentation alone and shares no code with the plugin that is tried against it.
package sandbox
