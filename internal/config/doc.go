// Package config turns TOML files into a checked Config.
//
// Load reads the main file and every conf.d/*.toml beside it and either returns a Config in which every value is
// resolved (secrets read, paths absolute, defaults filled in, references known), or an *Errors that lists every mistake
// at once with its file and line. Nothing is half accepted: an unknown key is a mistake too, because a typo must not
// switch a renewal off.
//
// The keys themselves are described once, in reference.go; the reader refuses what is not there and
// docs/configuration.md is generated from it.
package config
