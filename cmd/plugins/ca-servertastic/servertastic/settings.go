package servertastic

import (
	"errors"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/ordertoken"
	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/request"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

const (
	leastPerSecond = 0.1
	leastSync      = time.Second
	mostSync       = time.Hour
	// defaultSync is how old ServerTastic's copy of an order may be.
	defaultSync = 5 * time.Minute
)

// accountSettings are an account's settings after readAccount.
type accountSettings struct {
	baseURL        string
	key            pluginapi.Secret
	linkRenewals   bool
	sync           time.Duration
	wireNames      map[string]string
	perSecond      float64
	requestTimeout time.Duration
}

// rawAccount is [ca.NAME.settings] as written, without api_key.
type rawAccount struct {
	BaseURL           string            `json:"base_url"`
	LinkRenewals      *bool             `json:"link_renewals"`
	SyncPeriod        string            `json:"sync_period"`
	WireNames         map[string]string `json:"wire_names"`
	RequestsPerSecond *float64          `json:"requests_per_second"`
	RequestTimeout    string            `json:"request_timeout"`
}

func accountSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "api_key", Type: pluginapi.String, Required: true, Secret: true, Help: "API key of the reseller account."},
		{Name: "base_url", Type: pluginapi.String, Default: ordertoken.BaseURL, Help: "Address of the API, version 2."},
		{Name: "link_renewals", Type: pluginapi.Boolean, Default: true, Help: "Order renewals as such, which adds what is left of the earlier order; false orders without it, for what ServerTastic will not renew."},
		{Name: "wire_names", Type: pluginapi.Map, Help: "The API's names for parameters that ServerTastic's page does not name, such as { no_companion = \"...\" }; left out, they are looked up among the fields of each order."},
		{Name: "sync_period", Type: pluginapi.Duration, Default: defaultSync.String(), Help: "How old ServerTastic's copy of an order may be: orders are looked at in this pace, and what was sent without an answer is waited for that long."},
		{Name: "requests_per_second", Type: pluginapi.Number, Default: ordertoken.DefaultPerSecond, Help: "How many API calls to make a second in the long run, 0.1 to 10."},
		restca.TimeoutField(),
	}
}

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
		baseURL: found.BaseURL(raw.BaseURL, ordertoken.BaseURL), key: found.Credential("api_key", s.Secret("api_key")),
		linkRenewals: raw.LinkRenewals == nil || *raw.LinkRenewals, sync: defaultSync, wireNames: raw.WireNames,
		perSecond: ordertoken.DefaultPerSecond, requestTimeout: found.Timeout(raw.RequestTimeout),
	}
	if d, err := time.ParseDuration(raw.SyncPeriod); err == nil {
		if out.sync = d; d < leastSync || d > mostSync {
			found.Fault("sync_period", "must lie between %s and %s", leastSync, mostSync)
		}
	}
	request.CheckWireNames(raw.WireNames, found.Fault)
	if p := raw.RequestsPerSecond; p != nil {
		if out.perSecond = *p; *p < leastPerSecond || *p > ordertoken.MaxPerSecond {
			found.Fault("requests_per_second", "must lie between %v and %v", leastPerSecond, ordertoken.MaxPerSecond)
		}
	}
	return out, found
}
