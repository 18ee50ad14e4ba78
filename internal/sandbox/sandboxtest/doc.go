// Package sandboxtest holds what the tests of all stand-ins need: a world to look at, with a name server and web servers,
// and the check that docs/sandbox.md lists what a stand-in only assumes.
package sandboxtest
