package wire

import (
	"context"
	"crypto/x509"
	"math/big"
	"time"

	"google.golang.org/grpc"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// CAClient is a CA plugin in another process. It has every optional method of the contract; one that the plugin does
// not offer fails with ErrUnsupported. Every error is a *pluginapi.Error with a kind.
type CAClient struct {
	rpc  pb.CAServiceClient
	csrs goodCSRs
}

var _ interface {
	pluginapi.CA
	pluginapi.Preflighter
	pluginapi.OrderChecker
	pluginapi.OrderFinder
	pluginapi.CertificateFinder
	pluginapi.OrderInspector
	pluginapi.OrderCanceler
	pluginapi.Revoker
	pluginapi.RenewalInformer
} = (*CAClient)(nil)

// NewCAClient returns the client of the CA plugin at the other end of a connection.
func NewCAClient(conn grpc.ClientConnInterface) *CAClient {
	return &CAClient{rpc: pb.NewCAServiceClient(conn)}
}

// Describe implements pluginapi.CA.
func (c *CAClient) Describe(ctx context.Context) (pluginapi.Description, error) {
	return call(ctx, method{name: "Describe"}, c.rpc.Describe, &pb.CAServiceDescribeRequest{}, nil, parseDescription)
}

// Configure implements pluginapi.CA.
func (c *CAClient) Configure(ctx context.Context, account pluginapi.Account) (pluginapi.Configured, error) {
	settings, secrets, err := formatSettings(account.Settings)
	request := &pb.CAServiceConfigureRequest{Settings: settings, Secrets: secrets, AccountState: account.State}
	if err == nil {
		err = check(parseAccount(request))
	}
	return call(ctx, method{name: "Configure"}, c.rpc.Configure, request, err, parseConfigured)
}

// Preflight implements pluginapi.Preflighter.
func (c *CAClient) Preflight(ctx context.Context, orderSettings []pluginapi.Settings) (pluginapi.PreflightReply, error) {
	request, err := formatPreflightRequest(orderSettings)
	return call(ctx, method{name: "Preflight"}, c.rpc.Preflight, request, err, parsePreflight)
}

// CheckOrders implements pluginapi.OrderChecker. It must not be called of a plugin whose Description lacks
// AbilityCheckOrders: one that is older than this part of the contract would take it for a Preflight, and log in.
func (c *CAClient) CheckOrders(ctx context.Context, orderSettings []pluginapi.Settings) ([]pluginapi.Finding, error) {
	request, err := formatPreflightRequest(orderSettings)
	request.Offline = true
	return call(ctx, method{name: "CheckOrders"}, c.rpc.Preflight, request, err,
		func(m *pb.CAServicePreflightResponse) ([]pluginapi.Finding, error) {
			return parseFindings(m.GetFindings())
		})
}

// PlaceOrder implements pluginapi.CA. A failure that the plugin did not explain itself is an UnknownOutcome.
func (c *CAClient) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	o, err := c.requestOf(order)
	return call(ctx, method{name: "PlaceOrder", spends: true}, c.rpc.PlaceOrder, &pb.CAServicePlaceOrderRequest{Order: o}, err,
		func(m *pb.CAServicePlaceOrderResponse) (pluginapi.OrderReply, error) {
			return parseOrderReply(m.GetOrder(), m.AccountState)
		})
}

// FindOrder implements pluginapi.OrderFinder. A NotFound is only ever the plugin's own explicit word.
func (c *CAClient) FindOrder(ctx context.Context, order pluginapi.OrderRequest, sentAt time.Time) (pluginapi.OrderReply, error) {
	o, err := c.requestOf(order)
	if err == nil {
		err = sentTime(sentAt)
	}
	request := &pb.CAServiceFindOrderRequest{Order: o, SentAt: formatTime(sentAt)}
	return call(ctx, method{name: "FindOrder", tells: true}, c.rpc.FindOrder, request, err, parseFound)
}

// FindOrderByCertificate implements pluginapi.CertificateFinder.
func (c *CAClient) FindOrderByCertificate(ctx context.Context, leaf []byte) (pluginapi.OrderReply, error) {
	request := &pb.CAServiceFindOrderRequest{Certificate: leaf}
	return call(ctx, method{name: "FindOrder"}, c.rpc.FindOrder, request, checkCertificate("certificate", leaf), parseFound)
}

// GetOrder implements pluginapi.CA.
func (c *CAClient) GetOrder(ctx context.Context, order pluginapi.PlacedOrder) (pluginapi.OrderReply, error) {
	o, err := c.placedOf(order)
	request := &pb.CAServiceGetOrderRequest{Order: o, Reference: order.Reference, State: order.State}
	return call(ctx, method{name: "GetOrder"}, c.rpc.GetOrder, request, err,
		func(m *pb.CAServiceGetOrderResponse) (pluginapi.OrderReply, error) {
			return parseSame(order.Reference, m.GetOrder(), m.AccountState)
		})
}

// InspectOrder implements pluginapi.OrderInspector.
func (c *CAClient) InspectOrder(ctx context.Context, reference string, state []byte) (pluginapi.OrderReply, error) {
	request := &pb.CAServiceInspectOrderRequest{Reference: reference, State: state}
	return call(ctx, method{name: "InspectOrder"}, c.rpc.InspectOrder, request, parseNamed(reference, state),
		func(m *pb.CAServiceInspectOrderResponse) (pluginapi.OrderReply, error) {
			return same(reference, m.GetOrder(), m.AccountState, parseInspected)
		})
}

// RespondToChallenges implements pluginapi.CA.
func (c *CAClient) RespondToChallenges(ctx context.Context, order pluginapi.PlacedOrder, challengeIDs []string) (pluginapi.OrderReply, error) {
	o, err := c.placedOf(order)
	if err == nil {
		err = checkChallengeIDs(challengeIDs)
	}
	request := &pb.CAServiceRespondToChallengesRequest{
		Order: o, Reference: order.Reference, State: order.State, ChallengeIds: challengeIDs,
	}
	return call(ctx, method{name: "RespondToChallenges"}, c.rpc.RespondToChallenges, request, err,
		func(m *pb.CAServiceRespondToChallengesResponse) (pluginapi.OrderReply, error) {
			return parseSame(order.Reference, m.GetOrder(), m.AccountState)
		})
}

// CancelOrder implements pluginapi.OrderCanceler.
func (c *CAClient) CancelOrder(ctx context.Context, order pluginapi.PlacedOrder, reason string) (pluginapi.OrderReply, error) {
	o, err := c.placedOf(order)
	request := &pb.CAServiceCancelOrderRequest{Order: o, Reference: order.Reference, State: order.State, Reason: people(reason)}
	return call(ctx, method{name: "CancelOrder"}, c.rpc.CancelOrder, request, err,
		func(m *pb.CAServiceCancelOrderResponse) (pluginapi.OrderReply, error) {
			return parseSame(order.Reference, m.GetOrder(), m.AccountState)
		})
}

// RevokeCertificate implements pluginapi.Revoker.
func (c *CAClient) RevokeCertificate(ctx context.Context, r pluginapi.Revocation) (pluginapi.RevocationReply, error) {
	request := &pb.CAServiceRevokeCertificateRequest{
		Certificate: r.Leaf, Order: formatPrevious(r.Order), Reason: int32(min(max(r.Reason, -1), 100)),
	}
	return call(ctx, method{name: "RevokeCertificate"}, c.rpc.RevokeCertificate, request, check(parseRevocation(request)),
		func(m *pb.CAServiceRevokeCertificateResponse) (pluginapi.RevocationReply, error) {
			action, err := parseAction(m.GetAction())
			if err != nil {
				return pluginapi.RevocationReply{}, err
			}
			if err := sized("account_state", m.AccountState, maxState); err != nil {
				return pluginapi.RevocationReply{}, err
			}
			return pluginapi.RevocationReply{Detail: people(m.GetDetail()), Action: action, AccountState: m.AccountState}, nil
		})
}

// RenewalInfo implements pluginapi.RenewalInformer. An answer about another certificate than the one asked about is a
// bad reply.
func (c *CAClient) RenewalInfo(ctx context.Context, leaf []byte) (pluginapi.RenewalInfo, error) {
	request := &pb.CAServiceRenewalInfoRequest{Certificate: leaf}
	return call(ctx, method{name: "RenewalInfo"}, c.rpc.RenewalInfo, request, checkCertificate("certificate", leaf),
		func(m *pb.CAServiceRenewalInfoResponse) (pluginapi.RenewalInfo, error) {
			info, err := parseRenewalInfo(m)
			if err != nil {
				return pluginapi.RenewalInfo{}, err
			}
			if !sameSerial(leaf, info.Serial) {
				return pluginapi.RenewalInfo{}, bad("serial", "%s is not that of the certificate asked about", info.Serial)
			}
			return info, nil
		})
}

func sameSerial(leaf []byte, serial string) bool {
	c, err := x509.ParseCertificate(leaf)
	if err != nil {
		return false
	}
	n, ok := new(big.Int).SetString(serial, 16)
	return ok && n.Cmp(c.SerialNumber) == 0
}

// requestOf formats an order and checks the result as the plugin's side will.
func (c *CAClient) requestOf(order pluginapi.OrderRequest) (*pb.OrderRequest, error) {
	m, err := formatOrderRequest(order)
	if err != nil {
		return nil, under("order", err)
	}
	return m, check(parseOrderRequest(m, c.csrs.check))
}

func (c *CAClient) placedOf(order pluginapi.PlacedOrder) (*pb.OrderRequest, error) {
	m, err := formatOrderRequest(order.OrderRequest)
	if err != nil {
		return nil, under("order", err)
	}
	return m, check(parsePlaced(m, order.Reference, order.State, c.csrs.check))
}

func parseFound(m *pb.CAServiceFindOrderResponse) (pluginapi.OrderReply, error) {
	return parseOrderReply(m.GetOrder(), m.AccountState)
}

// parseSame holds that an order's reference never changes once given.
func parseSame(reference string, order *pb.Order, accountState []byte) (pluginapi.OrderReply, error) {
	return same(reference, order, accountState, parseOrder)
}

func same(
	reference string, order *pb.Order, accountState []byte, parse func(*pb.Order) (pluginapi.Order, error),
) (pluginapi.OrderReply, error) {
	reply, err := parseReply(order, accountState, parse)
	if err != nil {
		return reply, err
	}
	if reply.Order.Reference != reference {
		return pluginapi.OrderReply{}, bad("order.reference", "is %q and was %q", reply.Order.Reference, reference)
	}
	return reply, nil
}

func parseConfigured(m *pb.CAServiceConfigureResponse) (pluginapi.Configured, error) {
	findings, err := parseFindings(m.GetFindings())
	if err != nil {
		return pluginapi.Configured{}, err
	}
	if err := sized("account_state", m.AccountState, maxState); err != nil {
		return pluginapi.Configured{}, err
	}
	if err := optionalWord("account_uri", m.GetAccountUri(), maxURL); err != nil {
		return pluginapi.Configured{}, err
	}
	identifiers, err := parseCAAIdentifiers(m.GetCaaIdentifiers())
	if err != nil {
		return pluginapi.Configured{}, err
	}
	return pluginapi.Configured{
		Findings: findings, AccountState: m.AccountState, AccountURI: m.GetAccountUri(), CAAIdentifiers: identifiers,
	}, nil
}

func parsePreflight(m *pb.CAServicePreflightResponse) (pluginapi.PreflightReply, error) {
	findings, err := parseFindings(m.GetFindings())
	if err != nil {
		return pluginapi.PreflightReply{}, err
	}
	if err := sized("account_state", m.AccountState, maxState); err != nil {
		return pluginapi.PreflightReply{}, err
	}
	return pluginapi.PreflightReply{Findings: findings, AccountState: m.AccountState}, nil
}
