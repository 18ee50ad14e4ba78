// Package digicert is a strict stand-in for DigiCert CertCentral's Services API v2, for rehearsals and tests.
//
// It is written from DigiCert's documentation: the pages "Order SSL (type_hint)" and "Order DV SSL", and what is known
// of the others. Where the documentation leaves something open, the stand-in picks the harder way for a client, or lets
// Settings choose, and says so in a comment that begins with "Unconfirmed:"; docs/sandbox.md lists them all.
package digicert
