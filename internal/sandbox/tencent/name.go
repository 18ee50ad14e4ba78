package tencent

import (
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const www = "www."

func isWildcard(name string) bool { return strings.HasPrefix(name, sandbox.Wildcard) }

// relative is a record's name below its zone.
func relative(record, zone string) string { return strings.TrimSuffix(record, "."+zone) }

// fileHosts are the hosts on which the validation file for a name must stand.
func fileHosts(name string, counterparts bool) []string {
	host := sandbox.Bare(name)
	switch rest, ok := strings.CutPrefix(host, www); {
	case !counterparts:
	case ok:
		return []string{host, rest}
	case host == sandbox.BaseOf(host):
		return []string{host, www + host}
	}
	return []string{host}
}

// freeNames are the names that a certificate gets without being asked.
//
// Unconfirmed: the exact table of names for free; the stand-in gives the www name of an apex, the apex of a www name, and
// the base of a wildcard, and GlobalSign no www.
func freeNames(p product, names []string) []string {
	var free []string
	for _, name := range names {
		host := sandbox.Bare(name)
		switch rest, ok := strings.CutPrefix(host, www); {
		case isWildcard(name):
			free = append(free, host)
		case p.Brand == brandGlobalSign:
		case ok && rest == sandbox.BaseOf(rest):
			free = append(free, rest)
		case host == sandbox.BaseOf(host):
			free = append(free, www+host)
		}
	}
	return free
}
