// Package examples holds the example configurations of certbridged and of the servers around it. Its tests let the daemon
// and the real servers read them.
package examples
