package wire

import (
	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// The functions of this file read the requests that carry more than an order. The serving side uses them to refuse,
// the calling side to find out before it sends.

func parseAccount(m *pb.CAServiceConfigureRequest) (pluginapi.Account, error) {
	settings, err := parseSettings(m.GetSettings(), m.GetSecrets())
	if err != nil {
		return pluginapi.Account{}, err
	}
	if err := sized("account_state", m.GetAccountState(), maxState); err != nil {
		return pluginapi.Account{}, err
	}
	return pluginapi.Account{Settings: settings, State: m.GetAccountState()}, nil
}

// formatPreflightRequest makes the request and checks it as the plugin's side will.
func formatPreflightRequest(orders []pluginapi.Settings) (*pb.CAServicePreflightRequest, error) {
	m := &pb.CAServicePreflightRequest{}
	secret := false
	for i, s := range orders {
		values, secrets, err := formatSettings(s)
		if err != nil {
			return m, under(item("order_settings", i), err)
		}
		secret = secret || len(secrets) > 0
		m.OrderSettings = append(m.OrderSettings, values)
		m.OrderSecrets = append(m.OrderSecrets, &pb.OrderSecrets{Secrets: secrets})
	}
	if !secret {
		m.OrderSecrets = nil
	}
	return m, check(parsePreflightRequest(m))
}

func parsePreflightRequest(m *pb.CAServicePreflightRequest) ([]pluginapi.Settings, error) {
	if err := counted("order_settings", len(m.GetOrderSettings()), maxOrderSettings); err != nil {
		return nil, err
	}
	secrets := m.GetOrderSecrets()
	if len(secrets) > 0 && len(secrets) != len(m.GetOrderSettings()) {
		return nil, bad("order_secrets", "has %d entries for %d orders", len(secrets), len(m.GetOrderSettings()))
	}
	var out []pluginapi.Settings
	for i, values := range m.GetOrderSettings() {
		var texts map[string]string
		if len(secrets) > 0 {
			texts = secrets[i].GetSecrets()
		}
		s, err := parseSettings(values, texts)
		if err != nil {
			return nil, under(item("order_settings", i), err)
		}
		out = append(out, s)
	}
	return out, nil
}

func parseRevocation(m *pb.CAServiceRevokeCertificateRequest) (pluginapi.Revocation, error) {
	if err := checkCertificate("certificate", m.GetCertificate()); err != nil {
		return pluginapi.Revocation{}, err
	}
	order, err := parsePrevious("order", m.GetOrder())
	if err != nil {
		return pluginapi.Revocation{}, err
	}
	if err := checkReason(m.GetReason()); err != nil {
		return pluginapi.Revocation{}, err
	}
	return pluginapi.Revocation{Leaf: m.GetCertificate(), Order: order, Reason: int(m.GetReason())}, nil
}

func checkChallengeIDs(ids []string) error {
	if len(ids) == 0 {
		return bad("challenge_ids", "are empty")
	}
	if err := counted("challenge_ids", len(ids), maxChallengeIDs); err != nil {
		return err
	}
	for i, id := range ids {
		if err := word(item("challenge_ids", i), id, maxReference); err != nil {
			return err
		}
	}
	return nil
}

func parseChallengeRequest(m *pb.Challenge, receipt []byte) (pluginapi.Challenge, error) {
	if m == nil {
		return pluginapi.Challenge{}, bad("challenge", "is not given")
	}
	c, err := parseChallenge(m)
	if err != nil {
		return pluginapi.Challenge{}, under("challenge", err)
	}
	return c, sized("receipt", receipt, maxState)
}
