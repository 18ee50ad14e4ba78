package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestTencentUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":            {[]string{"tencent", "--help"}, exitOK, `plugin = "tencent"`},
		"unknown site":    {[]string{"tencent", "--listen", "127.0.0.1:0", "--site", "moon"}, exitFailed, "moon"},
		"half a key":      {[]string{"tencent", "--listen", "127.0.0.1:0", "--secret-id", "AKID"}, exitFailed, "--secret-key"},
		"unknown end":     {[]string{"tencent", "--listen", "127.0.0.1:0", "--replace-validity", "never"}, exitFailed, "replace_validity"},
		"another's flag":  {[]string{"tencent", "--approval", "auto"}, exitUsage, "--approval"},
		"one who reaches": {[]string{"tencent", "--listen", "0.0.0.0:0"}, exitFailed, "--listen-anywhere"},
	} {
		var out bytes.Buffer
		if code := execute(t.Context(), c.args, &out, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit code %d: %s", name, code, out.String())
		}
	}
}

// tc3 signs a request as the documentation says.
func tc3(req *http.Request, body, secretID, secretKey string) {
	hash := func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	now := time.Now().UTC()
	stamp, date := strconv.FormatInt(now.Unix(), 10), now.Format("2006-01-02")
	request := "POST\n/\n\ncontent-type:application/json\nhost:" + req.URL.Host + "\n\ncontent-type;host\n" + hash(body)
	text := "TC3-HMAC-SHA256\n" + stamp + "\n" + date + "/ssl/tc3_request\n" + hash(request)
	signature := hex.EncodeToString(mac(mac(mac(mac([]byte("TC3"+secretKey), date), "ssl"), "tc3_request"), text))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-TC-Timestamp", stamp)
	req.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+secretID+"/"+date+"/ssl/tc3_request, SignedHeaders=content-type;host, Signature="+signature)
}

// What is printed at the start is a configuration that works, also after a restart.
func TestTencentStartAndUse(t *testing.T) {
	dir := t.TempDir()
	t.Run("first", func(t *testing.T) { buyFromPrinted(t, started(t, "tencent", "--dir", dir, "--watch", "10ms"), 1) })
	t.Run("again", func(t *testing.T) { buyFromPrinted(t, started(t, "tencent", "--dir", dir, "--watch", "0"), 2) })
}

func buyFromPrinted(t *testing.T, said string, purchases int) {
	t.Helper()
	if !strings.Contains(said, "worth nothing") || !strings.Contains(said, "international site") {
		t.Errorf("said %s", said)
	}
	settings := account(t, said).Settings
	address := settings.Values["base_url"].(string)
	const body = `{"ProductId":48,"DomainNum":1,"TimeSpan":1}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-TC-Action", "CreateCertificate")
	req.Header.Set("X-TC-Version", "2019-12-05")
	tc3(req, body, settings.Secret("secret_id").Reveal(), settings.Secret("secret_key").Reveal())
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var bought struct {
		Response struct{ CertificateIds []string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&bought); err != nil || len(bought.Response.CertificateIds) != 1 {
		t.Errorf("bought %+v, %v", bought, err)
	}
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/_sandbox/ledger", nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Body.Close()
	var counted struct {
		Purchases int `json:"purchases"`
	}
	if err := json.NewDecoder(ledger.Body).Decode(&counted); err != nil || counted.Purchases != purchases {
		t.Errorf("%+v, %v", counted, err)
	}
}

func TestTencentKeyIsTaken(t *testing.T) {
	said := started(t, "tencent", "--site", "mainland", "--secret-id", "MYID", "--secret-key", "MYKEY", "--watch", "0")
	if settings := account(t, said).Settings; settings.Secret("secret_id").Reveal() != "MYID" || settings.Secret("secret_key").Reveal() != "MYKEY" || !strings.Contains(said, "mainland site") {
		t.Errorf("said %s", said)
	}
}
