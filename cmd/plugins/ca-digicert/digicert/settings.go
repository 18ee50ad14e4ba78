package digicert

import (
	"errors"
	"time"

	"github.com/certbridge/certbridged/cmd/plugins/ca-digicert/certcentral"
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

const leastPerSecond = 0.1

// accountSettings are an account's settings after readAccount.
type accountSettings struct {
	baseURL                 string
	key                     pluginapi.Secret
	organization, container int64 // zero: none
	skipApproval            *bool
	linkRenewals            bool
	perSecond               float64
	requestTimeout          time.Duration
}

// rawAccount is [ca.NAME.settings] as written, without api_key.
type rawAccount struct {
	BaseURL           string   `json:"base_url"`
	OrganizationID    int64    `json:"organization_id"`
	ContainerID       int64    `json:"container_id"`
	SkipApproval      *bool    `json:"skip_approval"`
	LinkRenewals      *bool    `json:"link_renewals"`
	RequestsPerSecond *float64 `json:"requests_per_second"`
	RequestTimeout    string   `json:"request_timeout"`
}

func accountSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "api_key", Type: pluginapi.String, Required: true, Secret: true, Help: "API key of a CertCentral user, best of a service user restricted to orders, domains and organizations."},
		{Name: "base_url", Type: pluginapi.String, Default: certcentral.BaseUS, Help: "Address of the Services API; accounts of CertCentral Europe use " + certcentral.BaseEU + "."},
		{Name: "organization_id", Type: pluginapi.Integer, Help: "Organization of OV, EV and private orders that name none themselves (organization.id)."},
		{Name: "container_id", Type: pluginapi.Integer, Help: "Container (division) of orders that name none themselves (container.id)."},
		{Name: "skip_approval", Type: pluginapi.Boolean, Help: "Whether orders that do not say it themselves skip the approval by an administrator; the key must have the right to."},
		{Name: "link_renewals", Type: pluginapi.Boolean, Default: true, Help: "Link renewals to the order they follow; false orders without the link, for accounts whose earlier orders DigiCert will not renew."},
		{Name: "requests_per_second", Type: pluginapi.Number, Default: certcentral.DefaultPerSecond, Help: "How many API calls to make a second in the long run, 0.1 to 5; less where the key has other users."},
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
		baseURL: found.BaseURL(raw.BaseURL, certcentral.BaseUS), key: found.Credential("api_key", s.Secret("api_key")),
		organization: positive(&found, "organization_id", raw.OrganizationID), container: positive(&found, "container_id", raw.ContainerID),
		skipApproval: raw.SkipApproval, linkRenewals: raw.LinkRenewals == nil || *raw.LinkRenewals,
		perSecond: certcentral.DefaultPerSecond, requestTimeout: found.Timeout(raw.RequestTimeout),
	}
	if p := raw.RequestsPerSecond; p != nil {
		if out.perSecond = *p; *p < leastPerSecond || *p > certcentral.MaxPerSecond {
			found.Fault("requests_per_second", "must lie between %v and %v: DigiCert takes 1000 calls in 3 minutes", leastPerSecond, certcentral.MaxPerSecond)
		}
	}
	return out, found
}

// positive checks the number of something that DigiCert numbers; zero is none.
func positive(found *restca.Findings, field string, id int64) int64 {
	if id < 0 {
		found.Fault(field, "is negative; the console shows the number")
	}
	return id
}
