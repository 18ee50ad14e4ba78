package wire

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

const (
	// drainTime is how long calls may go on after SIGTERM.
	drainTime = 5 * time.Second
	// lonelyTime is how long a plugin outlives its host's last connection.
	lonelyTime = 5 * time.Second
	// callWorkers are goroutines that stay, with the stacks that they have grown: nearly a tenth of a call's time went into
	// growing new ones. That is as many as the host has calls under way at once; more are taken by goroutines of their own.
	callWorkers = 64
	// gcPercent lets garbage grow to more than Go's default before it is collected: a plugin holds a few megabytes, so that it
	// would collect many times a second when it is busy, and is stopped when it is idle.
	gcPercent, defaultGCPercent = 300, 100
)

// ServeCA serves a CA plugin and does not return before its host is done with it. It is all that the main function of
// a plugin calls. The process's default logger is set to one whose lines the host understands, and garbage is collected less often
// than by Go's default unless GOGC or the plugin says otherwise.
func ServeCA(impl pluginapi.CA) { serve(PluginCA, &caPlugin{impl: impl}) }

// ServeDCV serves a domain control plugin, as ServeCA does a CA plugin.
func ServeDCV(impl pluginapi.DCV) { serve(PluginDCV, &dcvPlugin{impl: impl}) }

func serve(name string, p plugin.Plugin) {
	if os.Getenv(CookieKey) != CookieValue {
		self := filepath.Base(os.Args[0])
		fmt.Fprintf(os.Stderr, "%s is a plugin of certbridged, which starts it when it needs it.\n"+
			"Put it into the plugin folder, or try it with: certbridged plugins test %s\n", self, os.Args[0])
		os.Exit(2)
	}
	// go-plugin replaces os.Stderr later on; the log keeps the real one, which the host reads line by line.
	slog.SetDefault(slog.New(newLogHandler(os.Stderr)))

	if own := debug.SetGCPercent(gcPercent); own != defaultGCPercent { // it was set by GOGC or by the plugin
		debug.SetGCPercent(own)
	}

	life := newLifetime()
	done := make(chan struct{})
	go life.watch(done)
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{ProtocolVersion: {name: p}},
		GRPCServer:       life.newServer,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
	})
	close(done)
}

// lifetime ends a plugin's server in good order: on SIGTERM once the calls under way are through, and on its own when
// the host is gone, so that no plugin survives it.
type lifetime struct {
	ending chan struct{} // closed when the host's streams must end

	mu     sync.Mutex
	server *grpc.Server
	conns  int
	lonely *time.Timer
}

func newLifetime() *lifetime { return &lifetime{ending: make(chan struct{})} }

// newServer is go-plugin's factory for the gRPC server.
func (l *lifetime) newServer(opts []grpc.ServerOption) *grpc.Server {
	opts = append(opts,
		grpc.MaxRecvMsgSize(MaxMessageSize), grpc.MaxSendMsgSize(MaxMessageSize),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(connWindow),
		grpc.UnaryInterceptor(early), grpc.NumStreamWorkers(callWorkers),
		grpc.StreamInterceptor(l.stream), grpc.StatsHandler(l))
	s := grpc.NewServer(opts...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = s
	return s
}

func (l *lifetime) watch(done <-chan struct{}) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	defer signal.Stop(signals)
	select {
	case <-done:
	case <-signals:
		close(l.ending)
		force := time.AfterFunc(drainTime, l.stop)
		defer force.Stop()
		l.current().GracefulStop()
	}
}

// current returns the server; a process without one is still before the handshake, and can end as it is.
func (l *lifetime) current() *grpc.Server {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.server == nil {
		os.Exit(0)
	}
	return l.server
}

// stop ends the server at once, and with it plugin.Serve.
func (l *lifetime) stop() { l.current().Stop() }

// stream lets the streams that the host keeps open for go-plugin's own purposes end, which they never do by themselves:
// a graceful stop would wait for them.
func (l *lifetime) stream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	done := make(chan error, 1)
	go func() { done <- handle(srv, stream) }()
	select {
	case err := <-done:
		return err
	case <-l.ending:
		return nil // the stream's context ends with this, and the handler with the context
	}
}

// HandleConn implements stats.Handler: it counts the host's connections.
func (l *lifetime) HandleConn(_ context.Context, s stats.ConnStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s.(type) {
	case *stats.ConnBegin:
		l.conns++
		if l.lonely != nil {
			l.lonely.Stop()
			l.lonely = nil
		}
	case *stats.ConnEnd:
		if l.conns--; l.conns == 0 {
			l.lonely = time.AfterFunc(lonelyTime, l.stop)
		}
	}
}

// TagConn implements stats.Handler.
func (l *lifetime) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// TagRPC implements stats.Handler.
func (l *lifetime) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (l *lifetime) HandleRPC(context.Context, stats.RPCStats) {}

// newLogHandler writes the JSON that go-plugin's host parses into level, message and attributes.
func newLogHandler(out *os.File) slog.Handler {
	return slog.NewJSONHandler(out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return a
		}
		switch a.Key {
		case slog.TimeKey:
			return slog.String("@timestamp", a.Value.Time().Format("2006-01-02T15:04:05.000000Z07:00"))
		case slog.LevelKey:
			return slog.String("@level", strings.ToLower(a.Value.String()))
		case slog.MessageKey:
			a.Key = "@message"
		}
		return a
	}})
}
