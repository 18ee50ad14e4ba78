package servertastic

import (
	"crypto/md5" //nolint:gosec // Sectigo's way of making a record's name, not a means of security
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
)

// requestToken is what Sectigo makes of a certificate request (DER): the name of what is published is its MD5 sum, the
// content its SHA-256 sum, beside a unique value that may follow and that whoever hands the request to Sectigo chooses. So
// the API's values are used, and held against these.
type requestToken struct{ md5, sha256 string }

func sectigoToken(csr []byte) requestToken {
	name, content := md5.Sum(csr), sha256.Sum256(csr) //nolint:gosec // Sectigo's choice: a name, not a protection
	return requestToken{hex.EncodeToString(name[:]), hex.EncodeToString(content[:])}
}

// label and target are the record's: "_" and the MD5 sum before the domain, leading to the SHA-256 sum in two labels, as one
// may have 63 characters.
func (t requestToken) label() string  { return "_" + t.md5 }
func (t requestToken) target() string { return t.sha256[:32] + "." + t.sha256[32:] }

// file is the name of the file, whose lines are the SHA-256 sum, Sectigo's domain and, if there is one, the unique value.
func (t requestToken) file() string { return strings.ToUpper(t.md5) + ".txt" }

var (
	hashLabel = regexp.MustCompile(`^_[0-9a-f]{32}$`)
	hashFile  = regexp.MustCompile(`^[0-9a-f]{32}\.txt$`)
	hashLine  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// isSectigo reports that a record leads to Sectigo. The second domain is its older one.
func isSectigo(target string) bool {
	target = strings.TrimSuffix(strings.ToLower(target), ".")
	return strings.HasSuffix(target, ".sectigo.com") || strings.HasSuffix(target, ".comodoca.com")
}

// parts are those of what is to be published that Sectigo makes from a request; what is empty is not there.
func parts(c ordertoken.Control) (label, target, file, line string) {
	if isSectigo(c.DNSValue) {
		target = strings.ToLower(c.DNSValue)
		if first, _, _ := strings.Cut(strings.ToLower(c.DNSName), "."); hashLabel.MatchString(first) {
			label = first
		}
	}
	if first, _, _ := strings.Cut(c.FileBody, "\n"); hashLine.MatchString(strings.ToLower(strings.TrimSpace(first))) {
		line = strings.ToLower(strings.TrimSpace(first))
	}
	if name := strings.ToLower(c.FileName[strings.LastIndexByte(c.FileName, '/')+1:]); hashFile.MatchString(name) {
		file = name
	}
	return label, target, file, line
}

// fits reports that nothing of what is to be published was made from another request. Values that are not Sectigo's fit
// always.
func (t requestToken) fits(c ordertoken.Control) bool { return t.contradiction(c) == "" }

// contradiction says what of it was made from another request, and what it would be for ours.
func (t requestToken) contradiction(c ordertoken.Control) string {
	label, target, file, line := parts(c)
	switch {
	case label != "" && label != t.label():
		return "the record's name begins with " + label + ", and for our certificate request it is " + t.label()
	case target != "" && !strings.HasPrefix(target, t.target()+"."):
		return "the record leads to " + target + ", and for our certificate request that begins with " + t.target()
	case file != "" && !strings.EqualFold(file, t.file()):
		return "the file is " + strings.ToUpper(file) + ", and for our certificate request it is " + t.file()
	case line != "" && line != t.sha256:
		return "the file's first line is " + line + ", and for our certificate request it is " + t.sha256
	default:
		return ""
	}
}

// matches reports that something of what is to be published was made from our request, and nothing from another.
func (t requestToken) matches(c ordertoken.Control) bool {
	label, target, file, line := parts(c)
	return t.fits(c) && label+target+file+line != ""
}
