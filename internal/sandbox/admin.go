package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// AdminPath is where a rehearsal is directed from: what no client of the CA can do.
	AdminPath = "/_sandbox/"
	// mostAdminBody is the longest body of such a call.
	mostAdminBody = 1 << 20
	// mostDays is how far the clock is moved at once.
	mostDays = 10 * 366
)

// Answerer is an error that knows its answer.
type Answerer interface {
	error
	Answer() (status int, body any)
}

// AdminError is an answer to the rehearsal's own calls that says what is wrong.
type AdminError struct {
	Status        int
	Code, Message string
}

// NoSuch says that something a path names is not there.
func NoSuch(format string, args ...any) *AdminError {
	return &AdminError{http.StatusNotFound, "sandbox_not_found", fmt.Sprintf(format, args...)}
}

// Error returns the message.
func (e *AdminError) Error() string { return e.Message }

// Answer returns the error as JSON has it.
func (e *AdminError) Answer() (int, any) {
	return e.Status, map[string]any{"errors": []map[string]any{{"code": e.Code, "message": e.Message}}}
}

// AdminCall is one of the rehearsal's own calls.
type AdminCall struct {
	*http.Request
	body []byte
}

// Empty reports whether the call has no body.
func (c *AdminCall) Empty() bool { return len(c.body) == 0 }

// Decode decodes the body strictly: a typing error is told.
func (c *AdminCall) Decode(v any, fields ...Field) error {
	object, err := DecodeObject(c.body)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range Check(fields, object, true) {
		errs = append(errs, errors.New(f.Message))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return json.Unmarshal(c.body, v)
}

// ID reads the number {id} of the path.
func (c *AdminCall) ID() (int64, error) {
	n, err := strconv.ParseInt(c.PathValue("id"), 10, 64)
	if err != nil {
		return 0, NoSuch("%q is no id", c.PathValue("id"))
	}
	return n, nil
}

// Admin answers the rehearsal's own calls, to this machine only: they need no key.
type Admin struct{ mux *http.ServeMux }

func newAdmin() *Admin {
	a := &Admin{http.NewServeMux()}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeAdminError(w, NoSuch("there is no %s %s", r.Method, r.URL.Path))
	})
	return a
}

// On adds a call, such as "POST orders/{id}/approve". What do returns is answered as JSON, nil as 204; an error as 400,
// or as it says itself where it is an Answerer.
func (a *Admin) On(pattern string, do func(c *AdminCall) (any, error)) {
	method, path, _ := strings.Cut(pattern, " ")
	a.mux.HandleFunc(method+" "+AdminPath+path, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, mostAdminBody))
		if err != nil {
			writeAdminError(w, fmt.Errorf("read the request: %w", err))
			return
		}
		v, err := do(&AdminCall{r, body})
		switch {
		case err != nil:
			writeAdminError(w, err)
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			WriteJSON(w, http.StatusOK, v)
		}
	})
}

// ServeHTTP answers a call.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		writeAdminError(w, &AdminError{http.StatusForbidden, "sandbox_loopback_only", "the calls below " + AdminPath + " are for this machine only"})
		return
	}
	a.mux.ServeHTTP(w, r)
}

func writeAdminError(w http.ResponseWriter, err error) {
	var known Answerer
	if !errors.As(err, &known) {
		known = &AdminError{http.StatusBadRequest, "sandbox_invalid", err.Error()}
	}
	status, body := known.Answer()
	WriteJSON(w, status, body)
}

// WriteJSON answers with JSON.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "encode the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // a client that has gone reads nothing
}

// OnSettings adds the calls that show and change an account's settings: get returns a copy, and change calls do with
// what it may change, and keeps the settings only where do and their own check return no error.
func OnSettings[S any](a *Admin, fields []Field, get func() S, change func(do func(*S) error) error) {
	a.On("GET settings", func(*AdminCall) (any, error) { return get(), nil })
	a.On("PATCH settings", func(c *AdminCall) (any, error) {
		if err := change(func(s *S) error { return c.Decode(s, fields...) }); err != nil {
			return nil, err
		}
		return get(), nil
	})
}

// adminCalls adds the calls that all stand-ins have.
func (f *Frame[A]) adminCalls() {
	on := f.Admin.On
	on("GET ledger", func(*AdminCall) (any, error) { return f.ledgerView(), nil })
	on("GET calls", func(*AdminCall) (any, error) { return map[string]any{"calls": f.Calls()}, nil })
	on("DELETE calls", func(*AdminCall) (any, error) { f.ClearCalls(); return nil, nil })
	on("GET clock", func(*AdminCall) (any, error) { return f.clockView(), nil })
	on("POST clock", f.adminClock)
	on("GET misbehave", func(*AdminCall) (any, error) { return map[string]any{"misbehaviours": f.mischief.List()}, nil })
	on("POST misbehave", f.adminMisbehave)
	on("DELETE misbehave", func(*AdminCall) (any, error) { f.Behave(); return nil, nil })
	on("POST look", func(c *AdminCall) (any, error) { return nil, f.LookNow(c.Context()) })
	f.Admin.mux.HandleFunc("GET "+AdminPath+"roots", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(f.RootsPEM()) // a client that has gone reads nothing
	})
}

func (f *Frame[A]) ledgerView() any {
	l := f.Ledger()
	return map[string]any{
		"purchases": l.Count(Purchase), "reissues": l.Count(Reissue), "cancels": l.Count(Cancel),
		"counts": l.Counts(), "sum_cents": l.Sum(), "currency": f.opts.Unit, "entries": append([]Entry{}, l.Entries...),
	}
}

func (f *Frame[A]) clockView() any {
	return map[string]any{"now": f.Now().Format(time.RFC3339), "offset": f.clock.Offset().String(), "day": f.opts.Day.String()}
}

func (f *Frame[A]) adminClock(c *AdminCall) (any, error) {
	var b struct {
		Advance Delay `json:"advance"`
		Days    int64 `json:"days"`
	}
	if err := c.Decode(&b, Text("advance"), Integer("days", -mostDays, mostDays)); err != nil {
		return nil, err
	}
	err := f.Advance(time.Duration(b.Advance) + time.Duration(b.Days)*f.opts.Day)
	return f.clockView(), err
}

func (f *Frame[A]) adminMisbehave(c *AdminCall) (any, error) {
	var b Misbehaviour
	if err := c.Decode(&b, Text("method"), Text("path"), Integer("skip", 0, 1<<30), Integer("times", -1, 1<<30),
		Required(Text("kind")), Boolean("after"), Integer("status", 200, 599), Text("retry_after"), Text("delay")); err != nil {
		return nil, err
	}
	return nil, f.Misbehave(b)
}
