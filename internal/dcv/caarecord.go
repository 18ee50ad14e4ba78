package dcv

import (
	"fmt"
	"strings"
)

// caaRecord is a CAA record (RFC 8659 section 4).
type caaRecord struct {
	critical bool
	tag      string // lower case
	value    string // as it stands
	// issue is what the value of an issue or issuewild record says; malformed is why it says nothing.
	issue     issueValue
	malformed error
}

// issueValue is the value of an issue or issuewild record (RFC 8659 section 4.2).
type issueValue struct {
	issuer     string // lower case; empty: nobody may issue
	parameters []caaParameter
}

type caaParameter struct {
	tag   string // lower case
	value string
}

// The property tags that CAs know what to do with; a critical one of another name forbids everything.
const (
	tagIssue     = "issue"
	tagIssueWild = "issuewild"
	tagIodef     = "iodef"
	tagIssueMail = "issuemail" // RFC 9495; says nothing about TLS
)

func newCAARecord(flags uint8, tag, value string) caaRecord {
	r := caaRecord{critical: flags&0x80 != 0, tag: strings.ToLower(tag), value: value}
	if r.tag == tagIssue || r.tag == tagIssueWild {
		r.issue, r.malformed = parseIssueValue(value)
	}
	return r
}

// known reports that a CA understands the record.
func (r caaRecord) known() bool {
	switch r.tag {
	case tagIssue, tagIssueWild, tagIodef, tagIssueMail:
		return true
	default:
		return false
	}
}

// String writes the record as in a zone file, without the name in front.
func (r caaRecord) String() string {
	flags := 0
	if r.critical {
		flags = 128
	}
	return fmt.Sprintf("CAA %d %s %s", flags, printable(r.tag), quoted(r.value))
}

// quoted is a character string as in a zone file (RFC 1035 section 5.1).
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, "\\%03d", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func printable(s string) string {
	text := quoted(s)
	return text[1 : len(text)-1]
}

// blanks are WSP of RFC 5234.
const blanks = " \t"

// parseIssueValue reads
//
//	issue-value = *WSP [issuer-domain-name *WSP] [";" *WSP [parameters *WSP]]
//
// Where it fails, the record is to be taken as one that names nobody (RFC 8659 section 4.2).
func parseIssueValue(value string) (issueValue, error) {
	issuer, rest, more := strings.Cut(value, ";")
	issuer = strings.Trim(issuer, blanks)
	if issuer != "" {
		for label := range strings.SplitSeq(issuer, ".") {
			if !isCAAToken(label) {
				return issueValue{}, fmt.Errorf("%s is no domain name", quoted(issuer))
			}
		}
	}
	v := issueValue{issuer: strings.ToLower(issuer)}
	if !more || strings.Trim(rest, blanks) == "" {
		return v, nil
	}
	for text := range strings.SplitSeq(rest, ";") {
		p, err := parseCAAParameter(strings.Trim(text, blanks))
		if err != nil {
			return issueValue{}, err
		}
		v.parameters = append(v.parameters, p)
	}
	return v, nil
}

// parseCAAParameter reads
//
//	parameter = tag *WSP "=" *WSP value
//	value     = *(%x21-3A / %x3C-7E)
func parseCAAParameter(text string) (caaParameter, error) {
	tag, value, ok := strings.Cut(text, "=")
	tag, value = strings.TrimRight(tag, blanks), strings.TrimLeft(value, blanks)
	if !ok || !isCAAToken(tag) {
		return caaParameter{}, fmt.Errorf("%s is no parameter", quoted(text))
	}
	for _, c := range []byte(value) {
		if c < 0x21 || c > 0x7e || c == ';' {
			return caaParameter{}, fmt.Errorf("the value of the parameter %s holds a character that it cannot", tag)
		}
	}
	return caaParameter{tag: strings.ToLower(tag), value: value}, nil
}

// isCAAToken takes what the grammar calls a label and a tag: (ALPHA / DIGIT) *( *("-") (ALPHA / DIGIT)).
func isCAAToken(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
