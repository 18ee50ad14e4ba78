package tencent

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-tencent/sslapi"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

const (
	leastPerSecond = 0.1
	defaultTagKey  = "certbridged"

	// defaultFindSettle is long: answers are lost seldom, waiting costs nothing, and a second purchase does.
	// (Not confirmed by Tencent's pages: how soon a purchase, and its tags, can be seen.)
	defaultFindSettle               = 30 * time.Minute
	leastFindSettle, mostFindSettle = time.Minute, 24 * time.Hour
)

// accountSettings are an account's settings after readAccount.
type accountSettings struct {
	baseURL, region            string
	secretID, secretKey, token pluginapi.Secret
	tagKey                     string
	reissue                    bool
	givenUp                    []string // certificates on which nothing is reissued any more
	perSecond                  float64
	requestTimeout             time.Duration
	// findSettle is for how long after a lost call it is not believed that nothing was bought.
	findSettle time.Duration
}

// rawAccount is [ca.NAME.settings] as written, without secrets.
type rawAccount struct {
	BaseURL           string   `json:"base_url"`
	Region            string   `json:"region"`
	TagKey            *string  `json:"tag_key"`
	Reissue           *bool    `json:"reissue"`
	GivenUp           []string `json:"given_up"`
	RequestsPerSecond *float64 `json:"requests_per_second"`
	RequestTimeout    string   `json:"request_timeout"`
	FindSettle        string   `json:"find_settle"`
}

func accountSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "secret_id", Type: pluginapi.String, Required: true, Secret: true, Help: "SecretId of an API key, best of a sub-account that may do nothing else."},
		{Name: "secret_key", Type: pluginapi.String, Required: true, Secret: true, Help: "SecretKey of the API key."},
		{Name: "token", Type: pluginapi.String, Secret: true, Help: "Session token, with temporary keys alone."},
		{Name: "region", Type: pluginapi.String, Help: "Region that calls name; the service needs none."},
		{Name: "base_url", Type: pluginapi.String, Default: sslapi.BaseInternational, Help: "Address of the API; accounts of the mainland's site use " + sslapi.BaseMainland + "."},
		{Name: "tag_key", Type: pluginapi.String, Default: defaultTagKey, Help: "Key of the tag by which orders are found again; its value is different for each order."},
		{Name: "reissue", Type: pluginapi.Boolean, Default: true, Help: "Whether time that is paid beyond a certificate's end is used up by reissues; false buys each certificate when the one before is due."},
		{Name: "given_up", Type: pluginapi.List, Element: &pluginapi.Field{Type: pluginapi.String}, Help: "Ids of certificates whose paid time is given up: where nothing comes of their reissue, the next one is bought when they are due."},
		{Name: "requests_per_second", Type: pluginapi.Number, Default: sslapi.DefaultPerSecond, Help: "How many calls of one action to make a second, 0.1 to 10; less where the account has other users."},
		restca.TimeoutField(),
		{Name: "find_settle", Type: pluginapi.String, Default: "30m", Help: "For how long after a lost answer a purchase may still come to light: as long nothing is bought again, 1m to 24h."},
	}
}

var (
	regionShape = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	tagShape    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 _.:/=+@-]{0,126}$`)
)

// readAccount reads an account's settings and finds all that is wrong with them.
func readAccount(s pluginapi.Settings) (accountSettings, []pluginapi.Finding) {
	found := restca.Findings(pluginapi.CheckSettings(accountSchema(), s))
	var raw rawAccount
	if err := s.Decode(&raw); err != nil {
		var e *pluginapi.Error
		if errors.As(err, &e) && len(found) == 0 {
			found.Fault(e.Field, "%s", e.Message)
		}
		return accountSettings{}, found
	}
	out := accountSettings{
		baseURL: found.BaseURL(raw.BaseURL, sslapi.BaseInternational), region: raw.Region,
		secretID: found.Credential("secret_id", s.Secret("secret_id")), secretKey: found.Credential("secret_key", s.Secret("secret_key")),
		token: found.Credential("token", s.Secret("token")), tagKey: defaultTagKey, reissue: raw.Reissue == nil || *raw.Reissue,
		perSecond: sslapi.DefaultPerSecond, requestTimeout: found.Timeout(raw.RequestTimeout),
		findSettle: defaultFindSettle, givenUp: raw.GivenUp,
	}
	for i, id := range raw.GivenUp {
		if !sslapi.ValidID(id) {
			found.Fault(fmt.Sprintf("given_up[%d]", i), "%q is not the id of a certificate at Tencent Cloud", id)
		}
	}
	if raw.FindSettle != "" {
		var err error
		if out.findSettle, err = time.ParseDuration(raw.FindSettle); err != nil || out.findSettle < leastFindSettle || out.findSettle > mostFindSettle {
			found.Fault("find_settle", "must be a duration such as 30m, and lie between %s and %s", leastFindSettle, mostFindSettle)
		}
	}
	if raw.Region != "" && !regionShape.MatchString(raw.Region) {
		found.Fault("region", "is no region such as ap-singapore")
	}
	if raw.TagKey != nil {
		if out.tagKey = *raw.TagKey; !tagShape.MatchString(out.tagKey) {
			found.Fault("tag_key", "must be 1 to 127 letters, digits, spaces and _ . : / = + @ -, and begin with a letter or digit; without a tag a lost order could not be found again")
		}
	}
	if p := raw.RequestsPerSecond; p != nil {
		if out.perSecond = *p; *p < leastPerSecond || *p > sslapi.MaxPerSecond {
			found.Fault("requests_per_second", "must lie between %v and %v: Tencent takes ten calls of one action a second", leastPerSecond, sslapi.MaxPerSecond)
		}
	}
	return out, found
}

// reissues reports whether what is paid beyond the end of a certificate is to be had by reissues. The settings may have given
// up that of one of those that it replaces as well: all of them were paid for at once.
func (a accountSettings) reissues(id string, st state) bool {
	return a.reissue && !slices.ContainsFunc(a.givenUp, func(up string) bool { return up == id || slices.Contains(st.Ancestors, up) })
}
