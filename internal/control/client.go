package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	controlv1 "github.com/certbridge/certbridged/proto/certbridge/control/v1"
)

// maxReply bounds a reply, in bytes: the status of some hundred thousand certificates.
const maxReply = 256 << 20

// Client speaks to a daemon. It has the methods of Backend; its errors are *Error.
type Client struct {
	conn *grpc.ClientConn
	api  controlv1.ControlServiceClient
	path string
	// connect makes a connection; tests replace it to come as another user.
	connect func(ctx context.Context, path string) (net.Conn, error)

	mu      sync.Mutex
	dialErr error
}

var _ Backend = (*Client)(nil)

// NewClient makes a client for the socket at a path. It connects at the first call.
func NewClient(path string) (*Client, error) {
	return newClient(path, func(ctx context.Context, path string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	})
}

func newClient(path string, connect func(context.Context, string) (net.Conn, error)) (*Client, error) {
	c := &Client{path: path, connect: connect}
	conn, err := grpc.NewClient("passthrough:///certbridged",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the socket is local and guarded by the kernel
		grpc.WithContextDialer(c.dial),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)),
	)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	c.conn, c.api = conn, controlv1.NewControlServiceClient(conn)
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

func (c *Client) dial(ctx context.Context, _ string) (net.Conn, error) {
	conn, err := c.connect(ctx, c.path)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialErr = err
	return conn, err
}

// failed makes the error of a call that failed.
func (c *Client) failed(err error) error {
	if err == nil {
		return nil
	}
	err = fromStatus(err)
	var e *Error
	c.mu.Lock()
	dialErr := c.dialErr
	c.mu.Unlock()
	if errors.As(err, &e) && e.Kind == NotRunning && dialErr != nil {
		return &Error{Kind: NotRunning, Message: c.whyNot(dialErr), Err: dialErr}
	}
	return err
}

// whyNot says in words why there is no connection.
func (c *Client) whyNot(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("no daemon: the control socket %s is not there; is certbridged started with this configuration?", c.path)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Sprintf("no daemon: nobody listens on the control socket %s; certbridged has ended", c.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("the control socket %s cannot be reached: permission denied on it or a folder above", c.path)
	default:
		return fmt.Sprintf("the control socket %s cannot be reached: %v", c.path, err)
	}
}

// Info says which daemon answers.
func (c *Client) Info(ctx context.Context) (Info, error) {
	m, err := c.api.Info(ctx, &controlv1.InfoRequest{})
	return infoFromWire(m), c.failed(err)
}

// Status returns one certificate, or all for an empty name.
func (c *Client) Status(ctx context.Context, name string) ([]Certificate, error) {
	if name == "" {
		return c.statusOfAll(ctx)
	}
	m, err := c.api.Status(ctx, &controlv1.StatusRequest{Name: name})
	return each(m.GetCertificates(), certificateFromWire), c.failed(err)
}

// statusAtOnce is how many certificates are asked for in one call: the daemon holds all of an answer until it is sent.
const statusAtOnce = 500

func (c *Client) statusOfAll(ctx context.Context) ([]Certificate, error) {
	var list []Certificate
	for after := ""; ; after = list[len(list)-1].Name {
		page, err := c.StatusPage(ctx, after, statusAtOnce)
		if err != nil {
			return nil, err
		}
		if list = append(list, page...); len(page) < statusAtOnce {
			return list, nil
		}
	}
}

// StatusPage returns some of all certificates, as Viewer has it.
func (c *Client) StatusPage(ctx context.Context, after string, limit int) ([]Certificate, error) {
	m, err := c.api.Status(ctx, &controlv1.StatusRequest{After: after, Limit: int32(limit)})
	return each(m.GetCertificates(), certificateFromWire), c.failed(err)
}

// Explain explains a certificate.
func (c *Client) Explain(ctx context.Context, name string) (Explanation, error) {
	m, err := c.api.Explain(ctx, &controlv1.ExplainRequest{Name: name})
	return Explanation{Certificate: certificateFromWire(m.GetCertificate()), Facts: m.GetFacts()}, c.failed(err)
}

// Plan returns what will be done until a moment.
func (c *Client) Plan(ctx context.Context, until time.Time) ([]PlannedAct, error) {
	m, err := c.api.Plan(ctx, &controlv1.PlanRequest{Until: timeToWire(until)})
	return each(m.GetActs(), plannedFromWire), c.failed(err)
}

// Events calls send with events. It returns nil when ctx ends.
func (c *Client) Events(ctx context.Context, filter EventFilter, send func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.Events(ctx, &controlv1.EventsRequest{Follow: filter.Follow, Certificate: filter.Certificate})
	if err != nil {
		return c.failed(err)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF), err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return c.failed(err)
		}
		if err := send(eventFromWire(m.GetEvent())); err != nil {
			return err
		}
	}
}

// Renew orders, or says what would be ordered.
func (c *Client) Renew(ctx context.Context, req RenewRequest) (Renewal, error) {
	m, err := c.api.Renew(ctx, &controlv1.RenewRequest{Name: req.Name, DryRun: req.DryRun, Force: req.Force})
	return renewalFromWire(m), c.failed(err)
}

// Deploy runs check, reload and verify.
func (c *Client) Deploy(ctx context.Context, name string) (Deployment, error) {
	m, err := c.api.Deploy(ctx, &controlv1.DeployRequest{Name: name})
	return deploymentFromWire(m.GetDeployment()), c.failed(err)
}

// Revoke revokes the certificate on disk.
func (c *Client) Revoke(ctx context.Context, req RevokeRequest) (Revocation, error) {
	m, err := c.api.Revoke(ctx, &controlv1.RevokeRequest{Name: req.Name, Reason: int32(req.Reason), Serial: req.Serial})
	return Revocation{Serial: m.GetSerial(), Detail: m.GetDetail(), Action: maybeFrom(m.GetAction(), actionFromWire)}, c.failed(err)
}

// Reload reads the configuration again.
func (c *Client) Reload(ctx context.Context) ([]string, error) {
	m, err := c.api.Reload(ctx, &controlv1.ReloadRequest{})
	return m.GetWarnings(), c.failed(err)
}

// Orders lists orders.
func (c *Client) Orders(ctx context.Context, filter OrderFilter) ([]Order, error) {
	m, err := c.api.ListOrders(ctx, &controlv1.ListOrdersRequest{Certificate: filter.Certificate, All: filter.All})
	return each(m.GetOrders(), orderFromWire), c.failed(err)
}

// Order shows one order.
func (c *Client) Order(ctx context.Context, id string) (Order, error) {
	m, err := c.api.GetOrder(ctx, &controlv1.GetOrderRequest{Id: id})
	return orderFromWire(m.GetOrder()), c.failed(err)
}

// Approve lets a held order go on.
func (c *Client) Approve(ctx context.Context, id string) (Order, error) {
	m, err := c.api.ApproveOrder(ctx, &controlv1.ApproveOrderRequest{Id: id})
	return orderFromWire(m.GetOrder()), c.failed(err)
}

// Resolve says what became of a purchase: bought under a reference, or not bought when it is empty.
func (c *Client) Resolve(ctx context.Context, id, reference string) (Order, error) {
	req := &controlv1.ResolveOrderRequest{Id: id, Outcome: &controlv1.ResolveOrderRequest_NotBought{NotBought: true}}
	if reference != "" {
		req.Outcome = &controlv1.ResolveOrderRequest_Reference{Reference: reference}
	}
	m, err := c.api.ResolveOrder(ctx, req)
	return orderFromWire(m.GetOrder()), c.failed(err)
}

// Cancel ends an order.
func (c *Client) Cancel(ctx context.Context, id, reason string) (Order, error) {
	m, err := c.api.CancelOrder(ctx, &controlv1.CancelOrderRequest{Id: id, Reason: reason})
	return orderFromWire(m.GetOrder()), c.failed(err)
}

// Plugins lists the plugins.
func (c *Client) Plugins(ctx context.Context) ([]Plugin, error) {
	m, err := c.api.ListPlugins(ctx, &controlv1.ListPluginsRequest{})
	return each(m.GetPlugins(), pluginFromWire), c.failed(err)
}

// DescribePlugin says what a plugin is.
func (c *Client) DescribePlugin(ctx context.Context, name string) (PluginDescription, error) {
	m, err := c.api.DescribePlugin(ctx, &controlv1.DescribePluginRequest{Name: name})
	return descriptionFromWire(m), c.failed(err)
}

// TestProfile tries a DCV profile and calls send with each step.
func (c *Client) TestProfile(ctx context.Context, test ProfileTest, send func(ProfileTestStep) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.api.TestProfile(ctx, &controlv1.TestProfileRequest{Profile: test.Profile, Domain: test.Domain, Type: test.Type, Place: test.Place})
	if err != nil {
		return c.failed(err)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return c.failed(err)
		}
		if err := send(stepFromWire(m)); err != nil {
			return err
		}
	}
}

// ReleasePlugin ends a quarantine.
func (c *Client) ReleasePlugin(ctx context.Context, name string) error {
	_, err := c.api.ReleasePlugin(ctx, &controlv1.ReleasePluginRequest{Name: name})
	return c.failed(err)
}
