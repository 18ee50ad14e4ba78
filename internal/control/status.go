package control

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "github.com/certbridge/certbridged/proto/certbridge/control/v1"
)

// code is the gRPC code of a kind, for clients that do not read the details.
func code(k Kind) codes.Code {
	switch k {
	case Invalid:
		return codes.InvalidArgument
	case NotFound:
		return codes.NotFound
	case NotAllowed:
		return codes.PermissionDenied
	case Conflict, NeedsPerson, BadConfiguration:
		return codes.FailedPrecondition
	case Unavailable:
		return codes.Unavailable
	default:
		return codes.Unknown
	}
}

// toStatus makes the gRPC error of an error.
func toStatus(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	kind := KindOf(err)
	st := status.New(code(kind), validText(err.Error()))
	if detailed, detailErr := st.WithDetails(&controlv1.ErrorDetail{Kind: controlv1.ErrorKind(kind)}); detailErr == nil {
		st = detailed
	}
	return st.Err()
}

// fromStatus makes the error of a gRPC error.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, d := range st.Details() {
		detail, ok := d.(*controlv1.ErrorDetail)
		if ok && detail.GetKind() >= controlv1.ErrorKind_ERROR_KIND_INVALID && detail.GetKind() <= controlv1.ErrorKind_ERROR_KIND_FAILED {
			return &Error{Kind: Kind(detail.GetKind()), Message: st.Message()}
		}
	}
	switch st.Code() {
	case codes.Canceled:
		return &Error{Kind: FailedAct, Message: "the call was canceled", Err: context.Canceled}
	case codes.DeadlineExceeded:
		return &Error{Kind: FailedAct, Message: "the daemon did not answer in time", Err: context.DeadlineExceeded}
	case codes.Unimplemented:
		return &Error{Kind: Invalid, Message: "the daemon is of another version and does not know this call"}
	case codes.Unavailable:
		return &Error{Kind: NotRunning, Message: "the daemon does not answer: " + st.Message()}
	default:
		return &Error{Kind: FailedAct, Message: st.Message()}
	}
}
