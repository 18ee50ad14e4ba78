package request

import (
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

func TestToken(t *testing.T) {
	at := time.Date(2026, 11, 21, 13, 0, 0, 0, time.FixedZone("one hour ahead", 3600))
	for name, c := range map[string]struct{ csr, want string }{
		"full length":               {"some-token-value", "20261121120000121w9cfr2447nbojpltsc99x6s92nbrqhdm5qjhlzxre5wyqpz"},
		"the hash part is filled":   {"pad-7", "202611211200000ighoattvfgz2vhmujcdihij2km0zayhoyaoo8zjirs90qiflz"},
		"a request with line ends ": {"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "20261121120000601msgqa4eepfhmj7gujj8kkjjw35enr4a9pg15qgyd0mjyq4m"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Token(pluginapi.NewSecret("someToken"), c.csr, at)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if len(got) != 64 {
				t.Errorf("%d characters", len(got))
			}
		})
	}
}
