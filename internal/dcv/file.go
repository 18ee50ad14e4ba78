package dcv

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// wellKnown is where CAs may look for files (RFC 8615); nothing else is published.
	wellKnown = "/.well-known/"
	// ownPrefix begins the names of files that the webroot publisher keeps for itself.
	ownPrefix = ".certbridged-"

	maxBody    = 64 << 10 // bytes of a file
	maxPath    = 1024     // bytes of a path
	maxSegment = 200      // bytes between two slashes; file systems take 255, and temporary names are longer
	maxHost    = 253      // bytes of a host name
)

// checkFile says what keeps a file from being published. A CA's reply is as little trusted as any other input: its path
// becomes one on our disk.
func checkFile(c pluginapi.Challenge) error {
	if c.HTTP == nil {
		return fmt.Errorf("publishes files for http challenges, not %s", describe(c))
	}
	f := c.HTTP
	if err := checkHost(f.Host); err != nil {
		return fmt.Errorf("host %.300q: %w", f.Host, err)
	}
	if err := checkPath(f.Path); err != nil {
		return fmt.Errorf("path %.1100q: %w", f.Path, err)
	}
	if len(f.Body) > maxBody {
		return fmt.Errorf("file of %d bytes: want at most %d", len(f.Body), maxBody)
	}
	return nil
}

func checkHost(host string) error {
	name := normalHost(host)
	switch {
	case name == "":
		return fmt.Errorf("is empty")
	case len(name) > maxHost:
		return fmt.Errorf("is longer than %d bytes", maxHost)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	for _, r := range name {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._", r) {
			return fmt.Errorf("has a character that is none of a host name in ASCII form: %q", r)
		}
	}
	return nil
}

// checkPath takes what lies below /.well-known/ and has only ordinary segments, which are the same as a URL and as a
// file's path.
func checkPath(path string) error {
	below, ok := strings.CutPrefix(path, wellKnown)
	if !ok {
		return fmt.Errorf("is not below %s", wellKnown)
	}
	if len(path) > maxPath {
		return fmt.Errorf("is longer than %d bytes", maxPath)
	}
	for segment := range strings.SplitSeq(below, "/") {
		switch {
		case segment == "" || segment == "." || segment == "..":
			return fmt.Errorf("has the segment %q", segment)
		case len(segment) > maxSegment:
			return fmt.Errorf("has a segment longer than %d bytes", maxSegment)
		case strings.HasPrefix(segment, ownPrefix):
			return fmt.Errorf("has a segment that begins with %q, which is for our own use", ownPrefix)
		}
		for _, r := range segment {
			// RFC 3986 section 3.3 without what is encoded, and without ":" and "*".
			if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~!$&'()+,;=@", r) {
				return fmt.Errorf("has the character %q", r)
			}
		}
	}
	return nil
}

// normalHost brings the host of a challenge or of a Host header into one form: lower case, without port, brackets and
// the dot at the end.
func normalHost(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// urlHost is a host as a URL has it.
func urlHost(host string) string {
	name := normalHost(host)
	if strings.Contains(name, ":") {
		return "[" + name + "]"
	}
	return name
}
