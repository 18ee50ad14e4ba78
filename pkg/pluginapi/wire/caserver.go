package wire

import (
	"context"
	"slices"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// caServer serves an implementation of the contract. Requests are checked before the implementation sees them.
type caServer struct {
	pb.UnimplementedCAServiceServer
	serving

	impl pluginapi.CA
	csrs goodCSRs
}

// abilities are those that follow from the implementation's interfaces and those that only its Description can name.
func (s *caServer) abilities(described []pluginapi.Ability) []pluginapi.Ability {
	var out []pluginapi.Ability
	add := func(a pluginapi.Ability, has bool) {
		if has {
			out = append(out, a)
		}
	}
	_, preflight := s.impl.(pluginapi.Preflighter)
	_, find := s.impl.(pluginapi.OrderFinder)
	_, cancel := s.impl.(pluginapi.OrderCanceler)
	_, revoke := s.impl.(pluginapi.Revoker)
	_, inform := s.impl.(pluginapi.RenewalInformer)
	_, byCertificate := s.impl.(pluginapi.CertificateFinder)
	_, checkOrders := s.impl.(pluginapi.OrderChecker)
	_, inspect := s.impl.(pluginapi.OrderInspector)
	add(pluginapi.AbilityPreflight, preflight)
	add(pluginapi.AbilityFindOrder, find)
	add(pluginapi.AbilityCancel, cancel)
	add(pluginapi.AbilityRevoke, revoke)
	add(pluginapi.AbilityRenewalInfo, inform)
	for _, a := range []pluginapi.Ability{pluginapi.AbilityReissue, pluginapi.AbilityRenew} {
		add(a, slices.Contains(described, a))
	}
	add(pluginapi.AbilityFindByCertificate, byCertificate)
	add(pluginapi.AbilityIPIdentifiers, slices.Contains(described, pluginapi.AbilityIPIdentifiers))
	add(pluginapi.AbilityCheckOrders, checkOrders)
	add(pluginapi.AbilityInspectOrder, inspect)
	return out
}

func (s *caServer) Describe(ctx context.Context, _ *pb.CAServiceDescribeRequest) (*pb.CAServiceDescribeResponse, error) {
	return answer(ctx, &s.serving, method{name: "Describe"}, nil, func() (*pb.CAServiceDescribeResponse, error) {
		d, err := s.impl.Describe(ctx)
		if err != nil {
			return nil, err
		}
		d.Abilities = s.abilities(d.Abilities)
		return formatDescription(d)
	})
}

func (s *caServer) Configure(ctx context.Context, m *pb.CAServiceConfigureRequest) (*pb.CAServiceConfigureResponse, error) {
	return answer(ctx, &s.serving, method{name: "Configure"}, nil, func() (*pb.CAServiceConfigureResponse, error) {
		account, err := parseAccount(m)
		if err != nil {
			return nil, refused(err)
		}
		var c pluginapi.Configured
		err = s.configure(account.Settings.Secrets, func() ([]pluginapi.Finding, error) {
			c, err = s.impl.Configure(ctx, account)
			return c.Findings, err
		})
		if err != nil {
			return nil, err
		}
		return &pb.CAServiceConfigureResponse{
			Findings: formatFindings(c.Findings), AccountState: c.AccountState, AccountUri: c.AccountURI, CaaIdentifiers: c.CAAIdentifiers,
		}, nil
	})
}

func (s *caServer) Preflight(ctx context.Context, m *pb.CAServicePreflightRequest) (*pb.CAServicePreflightResponse, error) {
	if m.GetOffline() {
		return s.checkOrders(ctx, m)
	}
	impl, ok := s.impl.(pluginapi.Preflighter)
	if !ok {
		return nil, unsupported("Preflight")
	}
	return s.look(ctx, method{name: "Preflight"}, m, impl.Preflight)
}

func (s *caServer) checkOrders(ctx context.Context, m *pb.CAServicePreflightRequest) (*pb.CAServicePreflightResponse, error) {
	impl, ok := s.impl.(pluginapi.OrderChecker)
	if !ok {
		return nil, unsupported("Preflight without the network")
	}
	return s.look(ctx, method{name: "CheckOrders"}, m, func(ctx context.Context, orders []pluginapi.Settings) (pluginapi.PreflightReply, error) {
		findings, err := impl.CheckOrders(ctx, orders)
		return pluginapi.PreflightReply{Findings: findings}, err
	})
}

// look answers with what is found about order settings.
func (s *caServer) look(
	ctx context.Context, m method, request *pb.CAServicePreflightRequest,
	do func(context.Context, []pluginapi.Settings) (pluginapi.PreflightReply, error),
) (*pb.CAServicePreflightResponse, error) {
	return answer(ctx, &s.serving, m, orderSecrets(request), func() (*pb.CAServicePreflightResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		settings, err := parsePreflightRequest(request)
		if err != nil {
			return nil, refused(err)
		}
		r, err := do(ctx, settings)
		if err != nil {
			return nil, err
		}
		return &pb.CAServicePreflightResponse{Findings: formatFindings(r.Findings), AccountState: r.AccountState}, nil
	})
}

func (s *caServer) PlaceOrder(ctx context.Context, m *pb.CAServicePlaceOrderRequest) (*pb.CAServicePlaceOrderResponse, error) {
	secrets := secretsOf(m.GetOrder())
	return answer(ctx, &s.serving, method{name: "PlaceOrder", spends: true}, secrets, func() (*pb.CAServicePlaceOrderResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		request, err := parseOrderRequest(m.GetOrder(), s.csrs.checkSigned)
		if err != nil {
			return nil, refused(err)
		}
		o, state, err := formatReply(s.impl.PlaceOrder(ctx, request))
		return &pb.CAServicePlaceOrderResponse{Order: o, AccountState: state}, err
	})
}

func (s *caServer) FindOrder(ctx context.Context, m *pb.CAServiceFindOrderRequest) (*pb.CAServiceFindOrderResponse, error) {
	if len(m.GetCertificate()) > 0 {
		return s.findByCertificate(ctx, m)
	}
	impl, ok := s.impl.(pluginapi.OrderFinder)
	if !ok {
		return nil, unsupported("FindOrder by idempotency key")
	}
	secrets := secretsOf(m.GetOrder())
	return answer(ctx, &s.serving, method{name: "FindOrder", tells: true}, secrets, func() (*pb.CAServiceFindOrderResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		request, err := parseOrderRequest(m.GetOrder(), s.csrs.check)
		if err != nil {
			return nil, refused(err)
		}
		sentAt, err := parseTime("sent_at", m.GetSentAt())
		if err == nil {
			err = sentTime(sentAt)
		}
		if err != nil {
			return nil, refused(err)
		}
		o, state, err := formatReply(impl.FindOrder(ctx, request, sentAt))
		return &pb.CAServiceFindOrderResponse{Order: o, AccountState: state}, err
	})
}

func (s *caServer) findByCertificate(ctx context.Context, m *pb.CAServiceFindOrderRequest) (*pb.CAServiceFindOrderResponse, error) {
	impl, ok := s.impl.(pluginapi.CertificateFinder)
	if !ok {
		return nil, unsupported("FindOrder by certificate")
	}
	return answer(ctx, &s.serving, method{name: "FindOrder"}, nil, func() (*pb.CAServiceFindOrderResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		if err := checkCertificate("certificate", m.GetCertificate()); err != nil {
			return nil, refused(err)
		}
		o, state, err := formatReply(impl.FindOrderByCertificate(ctx, m.GetCertificate()))
		return &pb.CAServiceFindOrderResponse{Order: o, AccountState: state}, err
	})
}

func (s *caServer) GetOrder(ctx context.Context, m *pb.CAServiceGetOrderRequest) (*pb.CAServiceGetOrderResponse, error) {
	secrets := secretsOf(m.GetOrder())
	return answer(ctx, &s.serving, method{name: "GetOrder"}, secrets, func() (*pb.CAServiceGetOrderResponse, error) {
		placed, err := s.placed(m.GetOrder(), m.GetReference(), m.GetState())
		if err != nil {
			return nil, err
		}
		o, state, err := formatReply(s.impl.GetOrder(ctx, placed))
		return &pb.CAServiceGetOrderResponse{Order: o, AccountState: state}, err
	})
}

func (s *caServer) InspectOrder(ctx context.Context, m *pb.CAServiceInspectOrderRequest) (*pb.CAServiceInspectOrderResponse, error) {
	impl, ok := s.impl.(pluginapi.OrderInspector)
	if !ok {
		return nil, unsupported("InspectOrder")
	}
	return answer(ctx, &s.serving, method{name: "InspectOrder"}, nil, func() (*pb.CAServiceInspectOrderResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		if err := parseNamed(m.GetReference(), m.GetState()); err != nil {
			return nil, refused(err)
		}
		o, state, err := formatReply(impl.InspectOrder(ctx, m.GetReference(), m.GetState()))
		return &pb.CAServiceInspectOrderResponse{Order: o, AccountState: state}, err
	})
}

func (s *caServer) RespondToChallenges(ctx context.Context, m *pb.CAServiceRespondToChallengesRequest) (*pb.CAServiceRespondToChallengesResponse, error) {
	secrets := secretsOf(m.GetOrder())
	return answer(ctx, &s.serving, method{name: "RespondToChallenges"}, secrets, func() (*pb.CAServiceRespondToChallengesResponse, error) {
		placed, err := s.placed(m.GetOrder(), m.GetReference(), m.GetState())
		if err != nil {
			return nil, err
		}
		if err := checkChallengeIDs(m.GetChallengeIds()); err != nil {
			return nil, refused(err)
		}
		o, state, err := formatReply(s.impl.RespondToChallenges(ctx, placed, m.GetChallengeIds()))
		return &pb.CAServiceRespondToChallengesResponse{Order: o, AccountState: state}, err
	})
}

func (s *caServer) CancelOrder(ctx context.Context, m *pb.CAServiceCancelOrderRequest) (*pb.CAServiceCancelOrderResponse, error) {
	impl, ok := s.impl.(pluginapi.OrderCanceler)
	if !ok {
		return nil, unsupported("CancelOrder")
	}
	secrets := secretsOf(m.GetOrder())
	return answer(ctx, &s.serving, method{name: "CancelOrder"}, secrets, func() (*pb.CAServiceCancelOrderResponse, error) {
		placed, err := s.placed(m.GetOrder(), m.GetReference(), m.GetState())
		if err != nil {
			return nil, err
		}
		o, state, err := formatReply(impl.CancelOrder(ctx, placed, people(m.GetReason())))
		return &pb.CAServiceCancelOrderResponse{Order: o, AccountState: state}, err
	})
}

func (s *caServer) RevokeCertificate(ctx context.Context, m *pb.CAServiceRevokeCertificateRequest) (*pb.CAServiceRevokeCertificateResponse, error) {
	impl, ok := s.impl.(pluginapi.Revoker)
	if !ok {
		return nil, unsupported("RevokeCertificate")
	}
	return answer(ctx, &s.serving, method{name: "RevokeCertificate"}, nil, func() (*pb.CAServiceRevokeCertificateResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		revocation, err := parseRevocation(m)
		if err != nil {
			return nil, refused(err)
		}
		r, err := impl.RevokeCertificate(ctx, revocation)
		if err != nil {
			return nil, err
		}
		return &pb.CAServiceRevokeCertificateResponse{
			Detail: people(r.Detail), Action: formatAction(r.Action), AccountState: r.AccountState,
		}, nil
	})
}

func (s *caServer) RenewalInfo(ctx context.Context, m *pb.CAServiceRenewalInfoRequest) (*pb.CAServiceRenewalInfoResponse, error) {
	impl, ok := s.impl.(pluginapi.RenewalInformer)
	if !ok {
		return nil, unsupported("RenewalInfo")
	}
	return answer(ctx, &s.serving, method{name: "RenewalInfo"}, nil, func() (*pb.CAServiceRenewalInfoResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		if err := checkCertificate("certificate", m.GetCertificate()); err != nil {
			return nil, refused(err)
		}
		info, err := impl.RenewalInfo(ctx, m.GetCertificate())
		if err != nil {
			return nil, err
		}
		return formatRenewalInfo(info), nil
	})
}

func (s *caServer) placed(order *pb.OrderRequest, reference string, state []byte) (pluginapi.PlacedOrder, error) {
	if err := s.ready(); err != nil {
		return pluginapi.PlacedOrder{}, err
	}
	placed, err := parsePlaced(order, reference, state, s.csrs.check)
	if err != nil {
		return pluginapi.PlacedOrder{}, refused(err)
	}
	return placed, nil
}

// formatReply takes both results of an implementation's method.
func formatReply(r pluginapi.OrderReply, err error) (*pb.Order, []byte, error) {
	if err != nil {
		return nil, nil, err
	}
	o, err := formatOrder(r.Order)
	return o, r.AccountState, err
}

// secretsOf are the texts of an order that no error message may show.
func secretsOf(m *pb.OrderRequest) map[string]pluginapi.Secret {
	out := make(map[string]pluginapi.Secret, len(m.GetSecrets()))
	for path, text := range m.GetSecrets() {
		out[path] = pluginapi.NewSecret(text)
	}
	return out
}

// orderSecrets are those of all the orders of a Preflight.
func orderSecrets(m *pb.CAServicePreflightRequest) map[string]pluginapi.Secret {
	out := make(map[string]pluginapi.Secret)
	for i, order := range m.GetOrderSecrets() {
		for path, text := range order.GetSecrets() {
			out[item("order", i)+"."+path] = pluginapi.NewSecret(text)
		}
	}
	return out
}
