package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	controlv1 "github.com/certbridge/certbridged/proto/certbridge/control/v1"
)

const (
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 10 * time.Minute
	stopTimeout      = 3 * time.Second
	maxRequest       = 64 << 10 // bytes
)

// Options are what a Server needs.
type Options struct {
	Backend Backend
	// Group is the name or number of the group whose members may act beside root and the daemon's user; empty for none.
	Group  string
	Logger *slog.Logger
}

// Server serves a Backend on a socket.
type Server struct {
	log   *slog.Logger
	group atomic.Pointer[group]
	grpc  *grpc.Server
	// stopping ends calls that would go on for ever when the server stops.
	stopping context.Context
	stop     context.CancelFunc
}

// group is who may act beside root and the daemon's user.
type group struct {
	name string
	gid  uint32
	set  bool
}

// NewServer makes a server; Serve runs it.
func NewServer(o Options) (*Server, error) {
	s := &Server{log: o.Logger}
	if err := s.SetGroup(o.Group); err != nil {
		return nil, err
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(
		grpc.Creds(&peerCredentials{open: map[uint32]int{}}),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxConcurrentStreams(16),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleTimeout}),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	)
	controlv1.RegisterControlServiceServer(s.grpc, &service{backend: o.Backend})
	return s, nil
}

// SetGroup changes who may act, from the next call on. A group that does not exist is an error and changes nothing.
func (s *Server) SetGroup(name string) error {
	g := &group{name: name}
	if name != "" {
		gid, err := lookupGroup(name)
		if err != nil {
			return fmt.Errorf("control group: %w", err)
		}
		g.gid, g.set = gid, true
	}
	s.group.Store(g)
	return nil
}

func lookupGroup(name string) (uint32, error) {
	id := name
	if g, err := user.LookupGroup(name); err == nil {
		id = g.Gid
	} else if _, notNumber := strconv.ParseUint(name, 10, 32); notNumber != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("group %s has no number: %w", name, err)
	}
	return uint32(n), nil
}

// Serve serves until ctx ends and then lets calls in flight come to an end for a moment. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	watching := make(chan struct{})
	served := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-ctx.Done():
		case <-served:
		}
		s.shutdown()
	}()
	err := s.grpc.Serve(l)
	close(served)
	<-watching
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) && ctx.Err() == nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

func (s *Server) shutdown() {
	s.stop()
	hard := time.AfterFunc(stopTimeout, s.grpc.Stop)
	defer hard.Stop()
	s.grpc.GracefulStop()
}

// restricted reports whether a call changes something, so that not everybody may make it.
func restricted(method string, req any) bool {
	switch method {
	case controlv1.ControlService_Info_FullMethodName, controlv1.ControlService_Status_FullMethodName,
		controlv1.ControlService_Explain_FullMethodName, controlv1.ControlService_ListOrders_FullMethodName,
		controlv1.ControlService_GetOrder_FullMethodName, controlv1.ControlService_ListPlugins_FullMethodName,
		controlv1.ControlService_DescribePlugin_FullMethodName, controlv1.ControlService_Plan_FullMethodName,
		controlv1.ControlService_Events_FullMethodName:
		return false
	case controlv1.ControlService_Renew_FullMethodName:
		r, ok := req.(*controlv1.RenewRequest)
		return !ok || !r.GetDryRun()
	default:
		return true
	}
}

// admit returns the caller, or an error when the call is not for it.
func (s *Server) admit(ctx context.Context, method string, req any) (Caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, Errorf(NotAllowed, "the caller is not known")
	}
	info, ok := p.AuthInfo.(peerInfo)
	if !ok {
		return Caller{}, Errorf(NotAllowed, "the caller is not known")
	}
	if restricted(method, req) && !s.mayAct(info.caller) {
		return info.caller, Errorf(NotAllowed, "%s", s.refusal())
	}
	return info.caller, nil
}

func (s *Server) mayAct(c Caller) bool {
	if c.UID == 0 || int(c.UID) == os.Geteuid() {
		return true
	}
	g := s.group.Load()
	return g.set && (c.GID == g.gid || slices.Contains(c.Groups, g.gid))
}

func (s *Server) refusal() string {
	self := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(self); err == nil {
		self = u.Username
	}
	who := "root"
	if self != "root" {
		who += ", the user " + self
	}
	if g := s.group.Load(); g.set {
		return fmt.Sprintf("only %s and members of the group %s may do this", who, g.name)
	}
	return fmt.Sprintf("only %s may do this; control_group in the configuration can name a group that may too", who)
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
	caller, err := s.admit(ctx, info.FullMethod, req)
	if err != nil {
		s.refused(ctx, info.FullMethod, caller)
		return nil, toStatus(ctx, err)
	}
	ctx, cancel := s.callContext(ctx, caller)
	defer cancel()
	defer s.recovered(ctx, info.FullMethod, &err)
	reply, err = handle(ctx, req)
	return reply, toStatus(ctx, err)
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	caller, err := s.admit(stream.Context(), info.FullMethod, nil)
	if err != nil {
		s.refused(stream.Context(), info.FullMethod, caller)
		return toStatus(stream.Context(), err)
	}
	ctx, cancel := s.callContext(stream.Context(), caller)
	defer cancel()
	defer s.recovered(ctx, info.FullMethod, &err)
	return toStatus(ctx, handle(srv, &callStream{ServerStream: stream, ctx: ctx}))
}

// callContext is a call's context: it names the caller and ends when the server stops.
func (s *Server) callContext(ctx context.Context, caller Caller) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, callerKey{}, caller))
	unhook := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { unhook(); cancel() }
}

// recovered turns a panic of a call into its error: one caller's request must not end the daemon.
func (s *Server) recovered(ctx context.Context, method string, err *error) {
	if r := recover(); r != nil {
		s.log.ErrorContext(ctx, "control call panicked", "method", method, "panic", r, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "the daemon met an internal fault; its log has more")
	}
}

func (s *Server) refused(ctx context.Context, method string, caller Caller) {
	s.log.WarnContext(ctx, "control call refused", "method", method, "caller", caller.String())
}

// callStream is a stream with the call's context.
type callStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the call's context.
func (s *callStream) Context() context.Context { return s.ctx }
