package control

import (
	"context"
	"errors"
	"strings"

	controlv1 "github.com/certbridge/certbridged/proto/certbridge/control/v1"
)

// service fits a Backend to the generated interface.
type service struct {
	controlv1.UnimplementedControlServiceServer
	backend Backend
}

// Info says which daemon this is.
func (s *service) Info(ctx context.Context, _ *controlv1.InfoRequest) (*controlv1.InfoResponse, error) {
	info, err := s.backend.Info(ctx)
	if err != nil {
		return nil, err
	}
	return clean(infoToWire(info)), nil
}

// Status says how the certificates are.
func (s *service) Status(ctx context.Context, req *controlv1.StatusRequest) (*controlv1.StatusResponse, error) {
	list, err := s.status(ctx, req)
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.StatusResponse{Certificates: each(list, certificateToWire)}), nil
}

func (s *service) status(ctx context.Context, req *controlv1.StatusRequest) ([]Certificate, error) {
	if req.GetName() == "" && req.GetLimit() > 0 {
		return s.backend.StatusPage(ctx, req.GetAfter(), int(req.GetLimit()))
	}
	return s.backend.Status(ctx, req.GetName())
}

// Explain explains a certificate.
func (s *service) Explain(ctx context.Context, req *controlv1.ExplainRequest) (*controlv1.ExplainResponse, error) {
	if err := need("a certificate's name", req.GetName()); err != nil {
		return nil, err
	}
	e, err := s.backend.Explain(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.ExplainResponse{Certificate: certificateToWire(e.Certificate), Facts: e.Facts}), nil
}

// Renew orders, or says what would be ordered.
func (s *service) Renew(ctx context.Context, req *controlv1.RenewRequest) (*controlv1.RenewResponse, error) {
	if err := need("a certificate's name", req.GetName()); err != nil {
		return nil, err
	}
	r, err := s.backend.Renew(ctx, RenewRequest{Name: req.GetName(), DryRun: req.GetDryRun(), Force: req.GetForce()})
	if err != nil {
		return nil, err
	}
	return clean(renewalToWire(r)), nil
}

// Deploy runs check, reload and verify.
func (s *service) Deploy(ctx context.Context, req *controlv1.DeployRequest) (*controlv1.DeployResponse, error) {
	if err := need("a certificate's name", req.GetName()); err != nil {
		return nil, err
	}
	d, err := s.backend.Deploy(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.DeployResponse{Deployment: deploymentToWire(d)}), nil
}

// Revoke revokes the certificate on disk.
func (s *service) Revoke(ctx context.Context, req *controlv1.RevokeRequest) (*controlv1.RevokeResponse, error) {
	if err := need("a certificate's name", req.GetName()); err != nil {
		return nil, err
	}
	// RFC 5280 section 5.3.1: 7 is not used.
	if r := req.GetReason(); r < 0 || r > 10 || r == 7 {
		return nil, Errorf(Invalid, "%d is not a reason for revocation (RFC 5280 section 5.3.1)", r)
	}
	r, err := s.backend.Revoke(ctx, RevokeRequest{Name: req.GetName(), Reason: int(req.GetReason()), Serial: req.GetSerial()})
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.RevokeResponse{Serial: r.Serial, Detail: r.Detail, Action: maybe(r.Action, actionToWire)}), nil
}

// ListOrders lists orders.
func (s *service) ListOrders(ctx context.Context, req *controlv1.ListOrdersRequest) (*controlv1.ListOrdersResponse, error) {
	list, err := s.backend.Orders(ctx, OrderFilter{Certificate: req.GetCertificate(), All: req.GetAll()})
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.ListOrdersResponse{Orders: each(list, orderToWire)}), nil
}

// GetOrder shows one order.
func (s *service) GetOrder(ctx context.Context, req *controlv1.GetOrderRequest) (*controlv1.GetOrderResponse, error) {
	if err := need("an order's id", req.GetId()); err != nil {
		return nil, err
	}
	o, err := s.backend.Order(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.GetOrderResponse{Order: orderToWire(o)}), nil
}

// ApproveOrder lets a held order go on.
func (s *service) ApproveOrder(ctx context.Context, req *controlv1.ApproveOrderRequest) (*controlv1.ApproveOrderResponse, error) {
	if err := need("an order's id", req.GetId()); err != nil {
		return nil, err
	}
	o, err := s.backend.Approve(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.ApproveOrderResponse{Order: orderToWire(o)}), nil
}

// ResolveOrder says what became of a purchase. Saying nothing is not the same as "not bought".
func (s *service) ResolveOrder(ctx context.Context, req *controlv1.ResolveOrderRequest) (*controlv1.ResolveOrderResponse, error) {
	if err := need("an order's id", req.GetId()); err != nil {
		return nil, err
	}
	reference := strings.TrimSpace(req.GetReference())
	if reference == "" && !req.GetNotBought() {
		return nil, Errorf(Invalid, "say what became of the purchase: the CA's reference of it, or that nothing was bought")
	}
	o, err := s.backend.Resolve(ctx, req.GetId(), reference)
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.ResolveOrderResponse{Order: orderToWire(o)}), nil
}

// CancelOrder ends an order.
func (s *service) CancelOrder(ctx context.Context, req *controlv1.CancelOrderRequest) (*controlv1.CancelOrderResponse, error) {
	if err := need("an order's id", req.GetId()); err != nil {
		return nil, err
	}
	o, err := s.backend.Cancel(ctx, req.GetId(), req.GetReason())
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.CancelOrderResponse{Order: orderToWire(o)}), nil
}

// ListPlugins lists the plugins.
func (s *service) ListPlugins(ctx context.Context, _ *controlv1.ListPluginsRequest) (*controlv1.ListPluginsResponse, error) {
	list, err := s.backend.Plugins(ctx)
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.ListPluginsResponse{Plugins: each(list, pluginToWire)}), nil
}

// DescribePlugin says what a plugin is.
func (s *service) DescribePlugin(ctx context.Context, req *controlv1.DescribePluginRequest) (*controlv1.DescribePluginResponse, error) {
	if err := need("a plugin's name", req.GetName()); err != nil {
		return nil, err
	}
	d, err := s.backend.DescribePlugin(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return clean(descriptionToWire(d)), nil
}

// ReleasePlugin ends a quarantine.
func (s *service) ReleasePlugin(ctx context.Context, req *controlv1.ReleasePluginRequest) (*controlv1.ReleasePluginResponse, error) {
	if err := need("a plugin's name", req.GetName()); err != nil {
		return nil, err
	}
	return &controlv1.ReleasePluginResponse{}, s.backend.ReleasePlugin(ctx, req.GetName())
}

// Plan says what is to come.
func (s *service) Plan(ctx context.Context, req *controlv1.PlanRequest) (*controlv1.PlanResponse, error) {
	if req.GetUntil() == nil || req.GetUntil().CheckValid() != nil {
		return nil, Errorf(Invalid, "say until when")
	}
	list, err := s.backend.Plan(ctx, req.GetUntil().AsTime())
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.PlanResponse{Acts: each(list, plannedToWire)}), nil
}

// Events sends events.
func (s *service) Events(req *controlv1.EventsRequest, stream controlv1.ControlService_EventsServer) error {
	filter := EventFilter{Follow: req.GetFollow(), Certificate: req.GetCertificate()}
	return s.backend.Events(stream.Context(), filter, func(e Event) error {
		return stream.Send(clean(&controlv1.EventsResponse{Event: eventToWire(e)}))
	})
}

// TestProfile tries a DCV profile.
func (s *service) TestProfile(req *controlv1.TestProfileRequest, stream controlv1.ControlService_TestProfileServer) error {
	if err := errors.Join(need("which DCV profile", req.GetProfile()), need("which domain", req.GetDomain())); err != nil {
		return err
	}
	test := ProfileTest{Profile: req.GetProfile(), Domain: req.GetDomain(), Type: req.GetType(), Place: req.GetPlace()}
	return s.backend.TestProfile(stream.Context(), test, func(step ProfileTestStep) error {
		return stream.Send(clean(stepToWire(step)))
	})
}

// Reload reads the configuration again.
func (s *service) Reload(ctx context.Context, _ *controlv1.ReloadRequest) (*controlv1.ReloadResponse, error) {
	warnings, err := s.backend.Reload(ctx)
	if err != nil {
		return nil, err
	}
	return clean(&controlv1.ReloadResponse{Warnings: warnings}), nil
}

func need(what, value string) error {
	if value == "" {
		return Errorf(Invalid, "say %s", what)
	}
	return nil
}
