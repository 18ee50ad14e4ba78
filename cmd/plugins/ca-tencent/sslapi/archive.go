package sslapi

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// The bounds of an archive. A real one has a dozen files of some kilobytes.
const (
	mostMembers  = 64
	largest      = 1 << 20 // bytes of a member, unpacked
	largestTotal = 8 << 20 // bytes of all members, unpacked
	mostInAll    = 64      // certificates
)

// Download reads a certificate with what came along, in no particular order: DownloadCertificate.
func (c *Client) Download(ctx context.Context, id string) ([]*x509.Certificate, error) {
	var pool []*x509.Certificate
	err := c.read(ctx, "DownloadCertificate", certificateID{id}, func(a restca.Answer) error {
		var in struct {
			Content Text `json:"Content"`
		}
		if err := inside(a.Body, &in); err != nil {
			return err
		}
		var err error
		pool, err = Unpack(string(in.Content))
		if err != nil {
			return &restca.Garbage{What: err.Error()}
		}
		return nil
	})
	return pool, err
}

// Unpack reads the certificates of an archive in base64, each once. It goes by what the files hold and not by what they
// are called, for their names differ; keys and what else there is are left out, and nothing is written anywhere.
func Unpack(content string) ([]*x509.Certificate, error) {
	packed, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(content), ""))
	if err != nil || len(packed) == 0 {
		return nil, fmt.Errorf("a download that is not in base64")
	}
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, fmt.Errorf("a download that is no zip archive")
	}
	if len(archive.File) > mostMembers {
		return nil, fmt.Errorf("an archive with %d files, more than %d", len(archive.File), mostMembers)
	}
	var pool []*x509.Certificate
	left := int64(largestTotal)
	for _, f := range archive.File {
		if f.FileInfo().IsDir() {
			continue
		}
		text, err := unpackFile(f)
		if err != nil {
			return nil, err
		}
		if left -= int64(len(text)); left < 0 {
			return nil, fmt.Errorf("an archive of more than %d bytes", largestTotal)
		}
		for _, found := range restca.ParsePEM(text) {
			if !has(pool, found) && len(pool) < mostInAll {
				pool = append(pool, found)
			}
		}
	}
	if len(pool) == 0 {
		return nil, fmt.Errorf("an archive without a certificate")
	}
	return pool, nil
}

func unpackFile(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("an archive with a file that cannot be read")
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, largest+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("an archive with a file that is broken")
	case len(text) > largest:
		return nil, fmt.Errorf("an archive with a file of more than %d bytes", largest)
	}
	return text, nil
}

func has(pool []*x509.Certificate, c *x509.Certificate) bool {
	for _, other := range pool {
		if other.Equal(c) {
			return true
		}
	}
	return false
}
