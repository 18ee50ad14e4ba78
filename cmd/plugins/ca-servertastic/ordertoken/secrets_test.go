package ordertoken

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// Errors that repeat a token, the order's own or another's, do not show it.
func TestErrorsRepeatTokens(t *testing.T) {
	const earlier, other = "OLDTOKEN12345678", "OTHERTOKEN1234567"
	var body string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		if _, err := io.WriteString(w, body); err != nil {
			t.Error(err)
		}
	}))
	defer web.Close()
	c, err := New(Options{BaseURL: web.URL, Key: pluginapi.NewSecret("KEYKEYKEY"), Timeout: 5 * time.Second, PerSecond: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, words := range []string{
		"renewed_order_token " + earlier + " is not completed", "renewed_order_token=" + other + " is not completed",
		"the order " + earlier + " cannot be renewed", "the reference was used for order token " + other, "token is (" + other + ")",
	} {
		body = `{"error":{"code":400,"message":"` + words + `"}}`
		_, err := c.Place(t.Context(), pluginapi.NewSecret("NEWTOKEN12345678"), url.Values{"renewed_order_token": {earlier}}, pluginapi.NewSecret(earlier))
		said := restca.FailOnce("place order x", err).Error()
		if strings.Contains(said, earlier) || strings.Contains(said, other) || !strings.Contains(said, "[secret]") && !strings.Contains(said, "***") {
			t.Errorf("%s: %s", words, said)
		}
	}
}
