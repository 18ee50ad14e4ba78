package wire

import (
	"context"
	"errors"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// ProtocolVersion is the version of the contract spoken here. A second one would stand beside it in VersionedPlugins,
// and the newest that both sides know is taken.
const ProtocolVersion = 1

// The names to dispense a client by: a *CAClient and a *DCVClient.
const (
	PluginCA  = "ca"
	PluginDCV = "dcv"
)

// The cookie tells a plugin that it was started by a host and not by hand. It protects nothing.
const (
	CookieKey   = "CERTBRIDGED_PLUGIN"
	CookieValue = "5b6a1f0e-certbridge-plugin"
)

// Handshake returns what host and plugin must agree on.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: ProtocolVersion, MagicCookieKey: CookieKey, MagicCookieValue: CookieValue}
}

// VersionedPlugins returns what a host can talk to, by protocol version. A plugin serves one of the two names; which
// one shows when its Describe answers or fails with ErrUnsupported.
func VersionedPlugins() map[int]plugin.PluginSet {
	return map[int]plugin.PluginSet{
		ProtocolVersion: {PluginCA: &caPlugin{}, PluginDCV: &dcvPlugin{}},
	}
}

// window and connWindow are how much one end sends before the other has taken it: of one call, and of all together, in bytes. By
// itself gRPC finds them out with a ping after nearly every message, each a write at both ends; between two processes of
// one machine there is nothing to find out.
const window, connWindow = 1 << 20, 4 << 20

// DialOptions returns the options a host connects with: bounded messages and no retries below the contract, since a
// call that spends money goes out once.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(connWindow),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageSize), grpc.MaxCallSendMsgSize(MaxMessageSize)),
	}
}

var errNothingToServe = errors.New("there is no implementation to serve")

type caPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	impl pluginapi.CA
}

func (p *caPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if p.impl == nil {
		return errNothingToServe
	}
	pb.RegisterCAServiceServer(s, &caServer{impl: p.impl})
	return nil
}

func (p *caPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewCAClient(conn), nil
}

type dcvPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	impl pluginapi.DCV
}

func (p *dcvPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	if p.impl == nil {
		return errNothingToServe
	}
	pb.RegisterDCVServiceServer(s, &dcvServer{impl: p.impl})
	return nil
}

func (p *dcvPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return NewDCVClient(conn), nil
}
