package wire

import (
	"context"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// dcvServer serves an implementation of the domain control contract.
type dcvServer struct {
	pb.UnimplementedDCVServiceServer
	serving

	impl pluginapi.DCV
}

func (s *dcvServer) Describe(ctx context.Context, _ *pb.DCVServiceDescribeRequest) (*pb.DCVServiceDescribeResponse, error) {
	return answer(ctx, &s.serving, method{name: "Describe"}, nil, func() (*pb.DCVServiceDescribeResponse, error) {
		d, err := s.impl.Describe(ctx)
		if err != nil {
			return nil, err
		}
		return formatDCVDescription(d)
	})
}

func (s *dcvServer) Configure(ctx context.Context, m *pb.DCVServiceConfigureRequest) (*pb.DCVServiceConfigureResponse, error) {
	return answer(ctx, &s.serving, method{name: "Configure"}, nil, func() (*pb.DCVServiceConfigureResponse, error) {
		profile, err := parseDCVProfile(m)
		if err != nil {
			return nil, refused(err)
		}
		var c pluginapi.DCVConfigured
		err = s.configure(profile.Settings.Secrets, func() ([]pluginapi.Finding, error) {
			c, err = s.impl.Configure(ctx, profile)
			return c.Findings, err
		})
		if err != nil {
			return nil, err
		}
		return formatDCVConfigured(c), nil
	})
}

func (s *dcvServer) Publish(ctx context.Context, m *pb.DCVServicePublishRequest) (*pb.DCVServicePublishResponse, error) {
	return answer(ctx, &s.serving, method{name: "Publish"}, nil, func() (*pb.DCVServicePublishResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		c, err := parseChallengeRequest(m.GetChallenge(), nil)
		if err != nil {
			return nil, refused(err)
		}
		receipt, err := s.impl.Publish(ctx, c)
		if err != nil {
			return nil, err
		}
		return &pb.DCVServicePublishResponse{Receipt: receipt}, nil
	})
}

func (s *dcvServer) Withdraw(ctx context.Context, m *pb.DCVServiceWithdrawRequest) (*pb.DCVServiceWithdrawResponse, error) {
	return answer(ctx, &s.serving, method{name: "Withdraw"}, nil, func() (*pb.DCVServiceWithdrawResponse, error) {
		if err := s.ready(); err != nil {
			return nil, err
		}
		c, err := parseChallengeRequest(m.GetChallenge(), m.GetReceipt())
		if err != nil {
			return nil, refused(err)
		}
		if err := s.impl.Withdraw(ctx, c, m.GetReceipt()); err != nil {
			return nil, err
		}
		return &pb.DCVServiceWithdrawResponse{}, nil
	})
}
