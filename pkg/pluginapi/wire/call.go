package wire

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/certbridge/certbridged/pkg/pluginapi"
)

// rpc is one call of a generated client.
type rpc[Q, R any] func(ctx context.Context, request Q, opts ...grpc.CallOption) (R, error)

// call sends one checked request and parses the reply. check is what the plugin's side does first: a request that
// would be refused there is not sent, so that it is surely not carried out.
func call[Q proto.Message, R, T any](
	ctx context.Context, m method, do rpc[Q, R], request Q, check error, parse func(R) (T, error),
) (T, error) {
	var none T
	if check != nil {
		return none, notSent(check)
	}
	if n := proto.Size(request); n > MaxMessageSize {
		return none, notSent(bad("", "the request has %d bytes, more than %d", n, MaxMessageSize))
	}
	if err := ctx.Err(); err != nil {
		return none, &pluginapi.Error{
			Kind: pluginapi.Unavailable, Message: m.name + " was not sent: " + err.Error(), Err: errors.Join(ErrNotSent, err),
		}
	}
	reply, err := do(ctx, request)
	if err != nil {
		return none, errorOf(err, m)
	}
	out, err := parse(reply)
	if err != nil {
		return none, badReply(err, m)
	}
	return out, nil
}

func check[T any](_ T, err error) error { return err }
