package wire

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
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
)

// ServeCA serves a CA plugin and does not return before its host is done with it. It is all that the main function of
// a plugin calls. The process's default logger is set to one whose lines the host understands.
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

	life := newLifetime()
	done := make(chan struct{})
	go life.watch(done)
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig:  Handshake(),
		VersionedPlugins: map[int]plugin.PluginSet{ProtocolVersion: {name: p}},
		GRPCServer:       life.server,
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
	})
	close(done)
}

// lifetime ends a plugin's server in good order: on SIGTERM once the calls under way are through, and on its own when
// the host is gone, so that no plugin survives it.
type lifetime struct {
	mu       sync.Mutex
	instance *grpc.Server
	calls    int
	conns    int
	idle     chan struct{} // closed when draining and no call is under way
	drain    bool
	lonely   *time.Timer
}

func newLifetime() *lifetime { return &lifetime{idle: make(chan struct{})} }

// server is go-plugin's factory for the gRPC server.
func (l *lifetime) server(opts []grpc.ServerOption) *grpc.Server {
	opts = append(opts,
		grpc.MaxRecvMsgSize(MaxMessageSize), grpc.MaxSendMsgSize(MaxMessageSize),
		grpc.UnaryInterceptor(l.count), grpc.StatsHandler(l))
	s := grpc.NewServer(opts...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instance = s
	return s
}

func (l *lifetime) watch(done <-chan struct{}) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	defer signal.Stop(signals)
	select {
	case <-done:
		return
	case <-signals:
	}
	deadline := time.NewTimer(drainTime)
	defer deadline.Stop()
	select {
	case <-l.draining():
	case <-deadline.C:
	case <-done:
		return
	}
	l.stop()
}

func (l *lifetime) draining() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drain = true
	if l.calls == 0 {
		close(l.idle)
	}
	return l.idle
}

// stop ends the server, and with it plugin.Serve. The host's streams never end by themselves, so a graceful stop of
// gRPC would wait for ever.
func (l *lifetime) stop() {
	l.mu.Lock()
	s := l.instance
	l.mu.Unlock()
	if s == nil {
		os.Exit(0) // still before the handshake
	}
	s.Stop()
}

// count knows the calls under way. Those of go-plugin itself do not count.
func (l *lifetime) count(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if !strings.HasPrefix(info.FullMethod, "/certbridge.") {
		return handle(ctx, request)
	}
	l.mu.Lock()
	if l.drain {
		l.mu.Unlock()
		return nil, statusOf(pluginapi.Errorf(pluginapi.Unavailable, "the plugin is stopping"), method{}, func(s string) string { return s })
	}
	l.calls++
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.calls--
		if l.drain && l.calls == 0 {
			close(l.idle)
		}
	}()
	return handle(ctx, request)
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
