// Package dcvplugins runs the examples of docs/dcv-plugins.md as they stand there: with the real plugins, read by the
// real configuration, against a real name server. The plugins' own tests hold their settings against that page with it.
package dcvplugins
