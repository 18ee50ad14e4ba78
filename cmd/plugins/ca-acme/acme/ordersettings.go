package acme

import (
	"fmt"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// orderSettings are a certificate's order = { ... }.
type orderSettings struct {
	// profile is the CA's certificate profile (draft-ietf-acme-profiles section 4); empty: the CA's default.
	profile string
	// preferredChain is the common name of the root, or of another issuer, that the chain shall lead to.
	preferredChain string
	// notAfter and lifetime ask for an end of validity (RFC 8555 section 7.1.3); at most one is set.
	notAfter time.Time
	lifetime time.Duration
}

type rawOrder struct {
	Profile        string `json:"profile"`
	PreferredChain string `json:"preferred_chain"`
	NotAfter       string `json:"not_after"`
	Lifetime       string `json:"lifetime"`
}

func orderSchema() []pluginapi.Field {
	return []pluginapi.Field{
		{Name: "profile", Type: pluginapi.String, Help: "Certificate profile by the CA's name for it, for example \"shortlived\"."},
		{Name: "preferred_chain", Type: pluginapi.String, Help: "Common name of the root (or another issuer) that the chain shall lead to, where the CA offers several."},
		{Name: "lifetime", Type: pluginapi.Duration, Help: "How long the certificate shall be valid, where the CA lets the customer choose; Let's Encrypt does not."},
		{Name: "not_after", Type: pluginapi.String, Help: "Until when the certificate shall be valid, as 2027-01-31T00:00:00Z, where the CA lets the customer choose."},
	}
}

// readOrderSettings reads and checks a certificate's order settings.
func readOrderSettings(s pluginapi.Settings) (orderSettings, error) {
	var raw rawOrder
	if err := s.Decode(&raw); err != nil {
		return orderSettings{}, err
	}
	out := orderSettings{profile: raw.Profile, preferredChain: raw.PreferredChain}
	if raw.NotAfter != "" && raw.Lifetime != "" {
		return orderSettings{}, pluginapi.FieldErrorf("not_after", "give only one of not_after and lifetime")
	}
	if raw.NotAfter != "" {
		at, err := time.Parse(time.RFC3339, raw.NotAfter)
		if err != nil {
			return orderSettings{}, pluginapi.FieldErrorf("not_after", "%q is not a time such as \"2027-01-31T00:00:00Z\"", raw.NotAfter)
		}
		out.notAfter = at
	}
	if raw.Lifetime != "" {
		d, err := time.ParseDuration(raw.Lifetime)
		if err != nil || d < time.Minute {
			return orderSettings{}, pluginapi.FieldErrorf("lifetime", "%q is not a duration of a minute or more, such as \"240h\"", raw.Lifetime)
		}
		out.lifetime = d
	}
	return out, nil
}

// end returns the wished end of validity, or zero for the CA's own choice.
func (o orderSettings) end(now time.Time) (time.Time, error) {
	switch {
	case o.lifetime > 0:
		return now.Add(o.lifetime).UTC().Truncate(time.Second), nil
	case o.notAfter.IsZero():
		return time.Time{}, nil
	case !o.notAfter.After(now):
		return time.Time{}, pluginapi.FieldErrorf("not_after", "%s", fmt.Sprintf("%s has passed", o.notAfter.Format(time.RFC3339)))
	default:
		return o.notAfter.UTC(), nil
	}
}
