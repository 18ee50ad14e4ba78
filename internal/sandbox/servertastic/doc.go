// Package servertastic is a strict stand-in for ServerTastic's order-token API, for rehearsals and tests.
//
// It is written from ServerTastic's page "Place Order" and what is known of the others. That page has lost the names of
// its parameters: where a name stands in no other source, Settings.Names choose one, so that a client which guesses a name
// fails, and one that asks productfields does not. Where the documentation leaves something open, the stand-in picks the
// harder way for a client, or lets Settings choose, and says so in a comment that begins with "Unconfirmed:";
// docs/sandbox.md lists them all.
package servertastic
