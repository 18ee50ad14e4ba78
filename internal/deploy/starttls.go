package deploy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// Protocol is what is spoken before TLS.
type Protocol string

// The protocols.
const (
	TLS      Protocol = "tls"      // nothing: TLS at once
	SMTP     Protocol = "smtp"     // STARTTLS (RFC 3207)
	IMAP     Protocol = "imap"     // STARTTLS (RFC 9051 section 6.2.1)
	POP3     Protocol = "pop3"     // STLS (RFC 2595 section 4)
	Postgres Protocol = "postgres" // SSLRequest (PostgreSQL frontend/backend protocol, section 54.2.10)
)

// Protocols lists them all.
func Protocols() []Protocol { return []Protocol{TLS, SMTP, IMAP, POP3, Postgres} }

func (p Protocol) known() bool { return p == "" || slices.Contains(Protocols(), p) }

func protocolNames() string {
	var names []string
	for _, p := range Protocols() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}

// maxPreamble bounds what a server may say before TLS, in bytes.
const maxPreamble = 16 << 10

// startTLS brings a connection to the point where TLS begins. The connection's deadline bounds it.
func (p Protocol) startTLS(c net.Conn) error {
	talk := dialogue{conn: c, left: maxPreamble}
	switch p {
	case "", TLS:
		return nil
	case SMTP:
		return talk.all(
			func() error { return talk.smtpReply("220") },
			func() error { return talk.send("EHLO certbridged.invalid\r\n") },
			func() error { return talk.smtpReply("250") },
			func() error { return talk.send("STARTTLS\r\n") },
			func() error { return talk.smtpReply("220") },
		)
	case IMAP:
		return talk.all(
			func() error { return talk.line("* OK") },
			func() error { return talk.send("a1 STARTTLS\r\n") },
			func() error { return talk.tagged("a1 ") },
		)
	case POP3:
		return talk.all(
			func() error { return talk.line("+OK") },
			func() error { return talk.send("STLS\r\n") },
			func() error { return talk.line("+OK") },
		)
	case Postgres:
		return talk.all(
			func() error { return talk.send("\x00\x00\x00\x08\x04\xd2\x16\x2f") },
			talk.postgresReply,
		)
	default:
		return fmt.Errorf("unknown protocol %q", string(p))
	}
}

// dialogue reads single bytes, so that nothing of the TLS handshake is taken away.
type dialogue struct {
	conn net.Conn
	left int
}

func (d *dialogue) all(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *dialogue) send(s string) error {
	_, err := io.WriteString(d.conn, s)
	return err
}

func (d *dialogue) readByte() (byte, error) {
	if d.left == 0 {
		return 0, fmt.Errorf("the server said more than %d bytes", maxPreamble)
	}
	d.left--
	var b [1]byte
	_, err := io.ReadFull(d.conn, b[:])
	return b[0], err
}

func (d *dialogue) readLine() (string, error) {
	var b bytes.Buffer
	for {
		c, err := d.readByte()
		if err != nil {
			return "", fmt.Errorf("read after %q: %w", b.String(), err)
		}
		if c == '\n' {
			return strings.TrimSuffix(b.String(), "\r"), nil
		}
		b.WriteByte(c)
	}
}

func (d *dialogue) line(prefix string) error {
	got, err := d.readLine()
	if err == nil && !strings.HasPrefix(got, prefix) {
		err = fmt.Errorf("the server said %q, want %s", got, prefix)
	}
	return err
}

// smtpReply reads a reply of one or more lines: all but the last have "-" after the code (RFC 5321 section 4.2.1).
func (d *dialogue) smtpReply(code string) error {
	for {
		got, err := d.readLine()
		if err != nil {
			return err
		}
		if !strings.HasPrefix(got, code) {
			return fmt.Errorf("the server said %q, want %s", got, code)
		}
		if !strings.HasPrefix(got, code+"-") {
			return nil
		}
	}
}

// tagged reads lines until the one that ends the command.
func (d *dialogue) tagged(tag string) error {
	for {
		got, err := d.readLine()
		if err != nil {
			return err
		}
		rest, ok := strings.CutPrefix(got, tag)
		switch {
		case !ok:
		case strings.HasPrefix(rest, "OK"):
			return nil
		default:
			return fmt.Errorf("the server said %q, want %sOK", got, tag)
		}
	}
}

func (d *dialogue) postgresReply() error {
	b, err := d.readByte()
	switch {
	case err != nil:
		return err
	case b == 'N':
		return errors.New("the server has TLS switched off")
	case b != 'S':
		return fmt.Errorf("the server said %q, want S", b)
	}
	return nil
}
