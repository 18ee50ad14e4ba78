package tencent

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// downloadCertificate hands out an archive.
func (s *Server) downloadCertificate(c *call) (obj, error) {
	if err := s.settle(c); err != nil {
		return nil, err
	}
	other := sandbox.Told(c.ctx()) == sandbox.OtherCertificate
	var content []byte
	if err := s.Read(func(st *state) error {
		cert, err := s.mine(c, c.text("CertificateId"))
		if err != nil {
			return err
		}
		if !s.handsOut(cert) {
			return fail(failedStatus, "The certificate status %d is incorrect.", s.visible(cert, c.now))
		}
		if st.Settings.CABusy {
			return fail(failedBusy, "The CA system is busy. Try again later.")
		}
		if other {
			cert = s.otherThan(cert)
		}
		content, err = s.archive(cert, st.Settings.Zip)
		return err
	}); err != nil {
		return nil, err
	}
	return obj{"Content": base64.StdEncoding.EncodeToString(content), "ContentType": "application/zip"}, nil
}

// member is a file of an archive.
type member struct{ name, text string }

// archive makes the file in one of the layouts that were seen.
//
// Unconfirmed: the layout where the CSR was brought; the stand-in leaves out the keys. How a wildcard is written in names
// of files; the stand-in writes an underscore.
func (s *Server) archive(cert *certificate, layout string) ([]byte, error) {
	issuer := s.Account.Authority.Issuer(cert.Issuer)
	if issuer == nil {
		return nil, fail(failedSource, "The certificate %s was uploaded.", cert.ID)
	}
	leaf, ca, root := encodePEM(pemCertificate, cert.DER), encodePEM(pemCertificate, issuer.Cert.Raw), encodePEM(pemCertificate, issuer.Root.Raw)
	name, key := strings.ReplaceAll(cert.domain(), "*", "_"), string(cert.Materials.Key)
	var list []member
	if layout == ZipByConsole {
		dir := name + "_nginx/"
		list = []member{{dir, ""}, {dir + name + "_bundle.crt", leaf + ca}, {dir + name + "_bundle.pem", leaf + ca}, {dir + name + ".csr", cert.Materials.CSR}}
		if key != "" {
			list = append(list, member{dir + name + ".key", key})
		}
		return zipped(list)
	}
	list = []member{
		{name + ".csr", cert.Materials.CSR}, {name + ".pem", leaf + ca}, {"Nginx/", ""}, {"Nginx/1_" + name + "_bundle.crt", leaf + ca},
		{"Apache/", ""}, {"Apache/1_root_bundle.crt", ca + root}, {"Apache/2_" + name + ".crt", leaf},
	}
	if key != "" {
		// The stores of other servers are binary; what is in them does not matter, as they hold a key.
		list = append(list, member{name + ".key", key}, member{"Nginx/2_" + name + ".key", key}, member{"Apache/3_" + name + ".key", key},
			member{"IIS/" + name + ".pfx", "\x30\x82sandbox"}, member{"Tomcat/" + name + ".jks", "\xfe\xed\xfe\xedsandbox"})
	}
	return zipped(list)
}

func zipped(list []member) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, m := range list {
		w, err := z.Create(m.name)
		if err != nil {
			return nil, fmt.Errorf("make the archive: %w", err)
		}
		if m.text == "" {
			continue // a folder
		}
		if _, err := w.Write([]byte(m.text)); err != nil {
			return nil, fmt.Errorf("make the archive: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("make the archive: %w", err)
	}
	return b.Bytes(), nil
}
