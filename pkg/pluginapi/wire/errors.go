package wire

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	pb "github.com/certbridge/certbridged/proto/certbridge/plugin/v1"
)

// What errors.Is finds beneath an error of a client's method, apart from the kind that decides.
var (
	// ErrUnsupported: the plugin does not offer this part of the contract. Nothing was done.
	ErrUnsupported = errors.New("the plugin does not offer this")
	// ErrBadReply: the plugin answered, and the answer breaks the contract.
	ErrBadReply = errors.New("the plugin's reply breaks the contract")
	// ErrNoDetail: the call failed without the plugin saying of which kind the failure is, as when the process died,
	// the connection broke, or the plugin forgot. The kind is then the safest one for the call.
	ErrNoDetail = errors.New("the plugin did not say why")
	// ErrNotSent: the request broke the contract on this side, or its context had ended; the plugin never saw it.
	ErrNotSent = errors.New("the request was not sent")
)

// method is what a failure means for a call, beyond its code.
type method struct {
	name string
	// spends: what has no explicit kind may have bought something.
	spends bool
	// tells: a not-found leads to buying again, so it counts only when the plugin says so explicitly.
	tells bool
}

// statusOf makes a gRPC status of what an implementation's method returned.
func statusOf(err error, m method, hide func(string) string) error {
	if err == nil {
		return nil
	}
	var e *pluginapi.Error
	if !errors.As(err, &e) || e.Kind < pluginapi.InvalidRequest || e.Kind > pluginapi.UnknownOutcome {
		return kindless(err, m, hide)
	}
	detail := &pb.ErrorDetail{
		Kind: pb.ErrorKind(e.Kind), Message: people(hide(messageIn(err, e))), Field: people(hide(e.Field)),
	}
	if e.RetryAfter > 0 {
		detail.RetryAfter = durationpb.New(min(e.RetryAfter, maxDuration))
	}
	return withDetail(codeOf(e.Kind), detail)
}

// messageIn is the message of an Error with the words that were put around it, without the field, which travels apart.
func messageIn(err error, e *pluginapi.Error) string {
	return strings.Replace(err.Error(), e.Error(), messageOf(e), 1)
}

func messageOf(e *pluginapi.Error) string {
	if e.Message == "" {
		return e.Kind.String()
	}
	return e.Message
}

// kindless is for an error that is no pluginapi.Error. Where money may be gone that is an unknown outcome, said
// explicitly; the end of the context is said to be that; for the rest the caller sees that no kind was given.
func kindless(err error, m method, hide func(string) string) error {
	message := people(hide(err.Error()))
	code := codes.Unknown
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	}
	switch {
	case m.spends:
		return withDetail(codes.Unknown, &pb.ErrorDetail{Kind: pb.ErrorKind_ERROR_KIND_UNKNOWN_OUTCOME, Message: message})
	case code != codes.Unknown:
		return withDetail(code, &pb.ErrorDetail{Kind: pb.ErrorKind_ERROR_KIND_UNAVAILABLE, Message: message})
	default:
		return status.Error(code, message)
	}
}

func withDetail(code codes.Code, detail *pb.ErrorDetail) error {
	s, err := status.New(code, detail.GetMessage()).WithDetails(detail)
	if err != nil { // only for code OK or a message that cannot be marshaled: neither is made here
		return status.Error(code, detail.GetMessage())
	}
	return s.Err()
}

func codeOf(k pluginapi.ErrorKind) codes.Code {
	switch k {
	case pluginapi.InvalidRequest:
		return codes.InvalidArgument
	case pluginapi.Unauthorized:
		return codes.Unauthenticated
	case pluginapi.RateLimited:
		return codes.ResourceExhausted
	case pluginapi.Unavailable:
		return codes.Unavailable
	case pluginapi.Conflict, pluginapi.NeedsPerson:
		return codes.FailedPrecondition
	case pluginapi.NotFound:
		return codes.NotFound
	case pluginapi.Rejected:
		return codes.Aborted
	default:
		return codes.Unknown
	}
}

// errorOf makes a plain error of what a gRPC call returned. The result is always a *pluginapi.Error with a kind.
func errorOf(err error, m method) error {
	if err == nil {
		return nil
	}
	s, _ := status.FromError(err)
	beneath := contextError(err, s.Code())
	if d := detailOf(s); d != nil {
		return &pluginapi.Error{
			Kind: pluginapi.ErrorKind(d.GetKind()), Message: people(d.GetMessage()), Field: people(d.GetField()),
			RetryAfter: retryAfter(d), Err: beneath,
		}
	}
	message := people(s.Message())
	if message == "" {
		message = m.name + " failed without a word"
	}
	if m.spends {
		return &pluginapi.Error{Kind: pluginapi.UnknownOutcome, Message: message, Err: errors.Join(ErrNoDetail, beneath)}
	}
	if s.Code() == codes.Unimplemented {
		return &pluginapi.Error{Kind: pluginapi.InvalidRequest, Message: message, Err: ErrUnsupported}
	}
	kind := kindOf(s.Code())
	if m.tells && kind == pluginapi.NotFound {
		kind = pluginapi.UnknownOutcome
	}
	return &pluginapi.Error{Kind: kind, Message: message, Err: errors.Join(ErrNoDetail, beneath)}
}

func contextError(err error, code codes.Code) error {
	switch {
	case code == codes.DeadlineExceeded, errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case code == codes.Canceled, errors.Is(err, context.Canceled):
		return context.Canceled
	default:
		return nil
	}
}

// detailOf returns the status's explicit detail, if it has one of a known kind.
func detailOf(s *status.Status) *pb.ErrorDetail {
	for _, any := range s.Details() {
		d, ok := any.(*pb.ErrorDetail)
		if !ok {
			continue
		}
		if _, err := enum[pluginapi.ErrorKind]("kind", d.GetKind(), pb.ErrorKind_name); err == nil {
			return d
		}
	}
	return nil
}

// retryAfter reads a hint; one that makes no sense is none.
func retryAfter(d *pb.ErrorDetail) time.Duration {
	v, err := parseDuration("retry_after", d.GetRetryAfter())
	if err != nil {
		return 0
	}
	return v
}

func kindOf(c codes.Code) pluginapi.ErrorKind {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return pluginapi.InvalidRequest
	case codes.Unauthenticated, codes.PermissionDenied:
		return pluginapi.Unauthorized
	case codes.ResourceExhausted:
		return pluginapi.RateLimited
	case codes.NotFound:
		return pluginapi.NotFound
	case codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted:
		return pluginapi.Conflict
	default:
		return pluginapi.Unavailable
	}
}

// badReply names a reply that breaks the contract. After a call that spends money nobody knows what was bought.
func badReply(err error, m method) error {
	kind := pluginapi.Unavailable
	if m.spends || m.tells {
		kind = pluginapi.UnknownOutcome
	}
	return &pluginapi.Error{
		Kind: kind, Message: "the plugin's reply to " + m.name + " breaks the contract: " + people(err.Error()),
		Err: errors.Join(ErrBadReply, err),
	}
}

// refused names the field at fault in a request that breaks the contract.
func refused(err error) *pluginapi.Error {
	var m *malformed
	if !errors.As(err, &m) {
		return &pluginapi.Error{Kind: pluginapi.InvalidRequest, Message: people(err.Error()), Err: err}
	}
	return &pluginapi.Error{Kind: pluginapi.InvalidRequest, Field: m.path, Message: m.words, Err: err}
}

// notSent is refused on the caller's side.
func notSent(err error) error {
	e := refused(err)
	e.Err = errors.Join(ErrNotSent, err)
	return e
}
