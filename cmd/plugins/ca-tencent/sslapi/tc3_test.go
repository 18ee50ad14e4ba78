package sslapi

import (
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// The vectors were computed and confirmed by two other implementations.
func TestSignatureVectors(t *testing.T) {
	const host, action, body = "ssl.intl.tencentcloudapi.com", "DescribeCertificateDetail", `{"CertificateId":"abc12345"}`
	for name, c := range map[string]struct {
		headers      map[string]string
		signed, want string
	}{
		"two headers": {
			headers: map[string]string{"content-type": "application/json", "host": host},
			signed:  "content-type;host", want: "c901566021c46f292162483ad0ad09c3257e8bf259b82f5177be86f66733706a",
		},
		"with the action": {
			headers: map[string]string{"content-type": contentType, "host": host, "x-tc-action": action},
			signed:  "content-type;host;x-tc-action", want: "83c81b73d3fd1ce829471a18344cc65051d137a361cd54ad5db5b0674578459a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := authorization(pluginapi.NewSecret("AKIDEXAMPLE"), pluginapi.NewSecret("SecretKeyEXAMPLE"), time.Unix(1790000000, 0), []byte(body), c.headers)
			want := "TC3-HMAC-SHA256 Credential=AKIDEXAMPLE/2026-09-21/ssl/tc3_request, SignedHeaders=" + c.signed + ", Signature=" + c.want
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			for what, other := range map[string]string{
				"another key":  authorization(pluginapi.NewSecret("AKIDEXAMPLE"), pluginapi.NewSecret("x"), time.Unix(1790000000, 0), []byte(body), c.headers),
				"another body": authorization(pluginapi.NewSecret("AKIDEXAMPLE"), pluginapi.NewSecret("SecretKeyEXAMPLE"), time.Unix(1790000000, 0), []byte(body+" "), c.headers),
				"another time": authorization(pluginapi.NewSecret("AKIDEXAMPLE"), pluginapi.NewSecret("SecretKeyEXAMPLE"), time.Unix(1790000001, 0), []byte(body), c.headers),
			} {
				if strings.HasSuffix(other, c.want) {
					t.Errorf("%s has the same signature", what)
				}
			}
		})
	}
}

// The day of a signature is that of UTC, wherever the machine stands.
func TestTheDayIsThatOfUTC(t *testing.T) {
	late := time.Date(2026, 9, 21, 23, 30, 0, 0, time.UTC).In(time.FixedZone("east", 8*60*60))
	if got := authorization(pluginapi.NewSecret("A"), pluginapi.NewSecret("B"), late, nil, map[string]string{"host": "h"}); !strings.Contains(got, "Credential=A/2026-09-21/") {
		t.Error(got)
	}
}
