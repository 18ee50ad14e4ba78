package wire

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// maxEarly bounds by how much an implementation's deadline lies before the call's.
const maxEarly = 2 * time.Second

// early gives an implementation nine tenths of a call's time. gRPC resets a call at its deadline, whatever the
// implementation still has to say; with time left its own answer arrives, such as an unknown outcome with its reason,
// and the host can tell a plugin that gave up in time from one that hangs.
func early(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/10, maxEarly)))
		defer cancel()
	}
	return handle(ctx, request)
}
