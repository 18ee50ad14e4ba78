// Package pluginapi is the contract between certbridged and its plugins in plain Go: what a CA plugin and a domain
// control plugin do, the values that pass between them and the daemon, and the closed list of reasons to fail.
//
// A plugin author needs this package, its subpackage wire (one call serves a plugin) and plugintest (the conformance
// suite). The same contract stands as protocol buffers in proto/certbridge/plugin/v1 for other languages.
package pluginapi
