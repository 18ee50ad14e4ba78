// Package lab runs the real daemon for the benchmark: a folder with a configuration and certificate files, the process,
// what it says, and what it uses of the machine.
package lab
