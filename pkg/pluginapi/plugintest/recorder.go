package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const errorDetailName = "certbridge.plugin.v1.ErrorDetail"

// recorder sees every reply of every process of a run. It keeps what the checks over the whole run need: where a
// secret came back, and which failures had no explicit kind.
type recorder struct {
	mu       sync.Mutex
	secrets  []string
	outputs  []*output
	leaks    map[string]bool
	kindless map[string]bool
	failures int
}

func newRecorder() *recorder {
	return &recorder{leaks: make(map[string]bool), kindless: make(map[string]bool)}
}

// plant makes the recorder look for a secret from now on.
func (r *recorder) plant(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(secret) >= 4 { // a shorter one would be found by chance
		r.secrets = append(r.secrets, secret)
	}
}

func (r *recorder) watch(o *output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outputs = append(r.outputs, o)
}

// raw marks a call that is made with bytes of the suite's own, which may fail below the plugin's code.
type raw struct{}

func (r *recorder) intercept(
	ctx context.Context, method string, request, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	err := invoke(ctx, method, request, reply, cc, opts...)
	if !strings.HasPrefix(method, "/certbridge.") {
		return err
	}
	name := method[strings.LastIndexByte(method, '/')+1:]
	var text []byte
	if err != nil {
		text, _ = proto.Marshal(status.Convert(err).Proto())
	} else if m, ok := reply.(proto.Message); ok {
		text, _ = proto.Marshal(m)
	} else if b, ok := reply.(*[]byte); ok {
		text = *b
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.search(name+"'s reply", text)
	// A connection that the suite has closed, as when it kills the process, answers for itself: Canceled, and no detail.
	if err != nil && ctx.Value(raw{}) == nil && cc.GetState() != connectivity.Shutdown {
		r.judge(ctx, name, err)
	}
	return err
}

func (r *recorder) search(where string, text []byte) {
	for _, s := range r.secrets {
		if bytes.Contains(text, []byte(s)) {
			r.leaks[where] = true
		}
	}
}

// judge notes a failure without an explicit kind. The end of the caller's own context and a missing method are not the
// plugin's words.
func (r *recorder) judge(ctx context.Context, name string, err error) {
	r.failures++
	s := status.Convert(err)
	if ctx.Err() != nil || s.Code() == codes.Unimplemented || s.Code() == codes.Unavailable && errorKind(s) == 0 {
		return // Unavailable without a detail is gRPC's word for a connection that broke, as when we kill the process
	}
	if due(ctx) && s.Code() == codes.DeadlineExceeded && errorKind(s) == 0 {
		return // gRPC's own timer on the plugin's side went off a moment before the context here ended
	}
	if k := errorKind(s); k < 1 || k > 9 {
		r.kindless[fmt.Sprintf("%s failed with status %s and no detail: %s", name, s.Code(), s.Message())] = true
	}
}

// timerSlack is how far apart the two ends' timers for one deadline may go off.
const timerSlack = 100 * time.Millisecond

func due(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < timerSlack
}

// errorKind reads the explicit kind of a status, without the generated types.
func errorKind(s *status.Status) int {
	for _, d := range s.Details() {
		m, ok := d.(proto.Message)
		if !ok || string(m.ProtoReflect().Descriptor().FullName()) != errorDetailName {
			continue
		}
		field := m.ProtoReflect().Descriptor().Fields().ByName("kind")
		return int(m.ProtoReflect().Get(field).Enum())
	}
	return 0
}

// found returns where secrets came out.
func (r *recorder) found() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.outputs {
		for _, s := range r.secrets {
			if o.contains([]byte(s)) {
				r.leaks["the plugin's output"] = true
			}
		}
	}
	return sorted(r.leaks)
}

func (r *recorder) withoutKind() (list []string, failures int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return sorted(r.kindless), r.failures
}

// rawCodec sends and receives bytes as they are, under the name gRPC expects.
type rawCodec struct{}

var errNotBytes = errors.New("the raw codec carries bytes only")

// Marshal implements encoding.Codec.
func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, errNotBytes
	}
	return b, nil
}

// Unmarshal implements encoding.Codec.
func (rawCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return errNotBytes
	}
	*b = append([]byte(nil), data...)
	return nil
}

// Name implements encoding.Codec.
func (rawCodec) Name() string { return "proto" }

// sendRaw makes a call with bytes that no client of ours would send.
func (p *process) sendRaw(ctx context.Context, method string, message []byte) error {
	var reply []byte
	return p.conn.Invoke(context.WithValue(ctx, raw{}, true), method, message, &reply, grpc.ForceCodec(rawCodec{}))
}
