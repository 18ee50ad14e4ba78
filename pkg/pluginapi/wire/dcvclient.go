package wire

import (
	"context"

	"google.golang.org/grpc"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// DCVClient is a domain control plugin in another process. Every error is a *pluginapi.Error with a kind.
type DCVClient struct{ rpc pb.DCVServiceClient }

var _ pluginapi.DCV = (*DCVClient)(nil)

// NewDCVClient returns the client of the domain control plugin at the other end of a connection.
func NewDCVClient(conn grpc.ClientConnInterface) *DCVClient {
	return &DCVClient{rpc: pb.NewDCVServiceClient(conn)}
}

// Describe implements pluginapi.DCV.
func (c *DCVClient) Describe(ctx context.Context) (pluginapi.DCVDescription, error) {
	return call(ctx, method{name: "Describe"}, c.rpc.Describe, &pb.DCVServiceDescribeRequest{}, nil, parseDCVDescription)
}

// Configure implements pluginapi.DCV.
func (c *DCVClient) Configure(ctx context.Context, p pluginapi.DCVProfile) (pluginapi.DCVConfigured, error) {
	settings, secrets, err := formatSettings(p.Settings)
	request := &pb.DCVServiceConfigureRequest{Settings: settings, Secrets: secrets, DnsResolvers: p.DNSResolvers}
	if err == nil {
		err = check(parseDCVProfile(request))
	}
	return call(ctx, method{name: "Configure"}, c.rpc.Configure, request, err, parseDCVConfigured)
}

// Publish implements pluginapi.DCV.
func (c *DCVClient) Publish(ctx context.Context, challenge pluginapi.Challenge) ([]byte, error) {
	m, err := challengeOf(challenge, nil)
	return call(ctx, method{name: "Publish"}, c.rpc.Publish, &pb.DCVServicePublishRequest{Challenge: m}, err,
		func(m *pb.DCVServicePublishResponse) ([]byte, error) {
			return m.GetReceipt(), sized("receipt", m.GetReceipt(), maxState)
		})
}

// Withdraw implements pluginapi.DCV.
func (c *DCVClient) Withdraw(ctx context.Context, challenge pluginapi.Challenge, receipt []byte) error {
	m, err := challengeOf(challenge, receipt)
	request := &pb.DCVServiceWithdrawRequest{Challenge: m, Receipt: receipt}
	_, err = call(ctx, method{name: "Withdraw"}, c.rpc.Withdraw, request, err,
		func(*pb.DCVServiceWithdrawResponse) (struct{}, error) { return struct{}{}, nil })
	return err
}

func challengeOf(c pluginapi.Challenge, receipt []byte) (*pb.Challenge, error) {
	m, err := formatChallenge(c)
	if err != nil {
		return nil, under("challenge", err)
	}
	return m, check(parseChallengeRequest(m, receipt))
}
