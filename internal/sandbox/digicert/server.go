package digicert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// BasePath is where the API is found below the server's address.
	BasePath = "/services/v2"
	// stateName is the file that the state is kept in.
	stateName = "digicert.json"
	// stateVersion is that of the state's form.
	stateVersion = 1
	// mostRequest is the longest body that is read.
	mostRequest = 1 << 20
	// mostListed is the longest page of a list, and the usual one.
	mostListed = 1000
)

// Options are what a stand-in is made of. The zero value is one that forgets, with one administrator's key.
type Options struct {
	// Dir is a folder to keep the state in, so that a rehearsal survives a restart.
	Dir string
	// Look is how domains are looked at; nil means the machine's resolver and the usual ports.
	Look *sandbox.Look
	// Users are those of a new account; none means one administrator with a random key.
	Users []User
	// Settings are those of a new account; nil means DefaultSettings.
	Settings *Settings
	// Authority is what signs for a new account; nil makes one, which takes a while.
	Authority *sandbox.Authority
	// Day is how long a day of plans and certificates is; 0 means 24 hours. Shorter days let a plan's life pass in
	// minutes; the ends of plans and certificates are then written with their time.
	Day time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// Server is the stand-in. It is an http.Handler, and safe for concurrent use. What it shares with the other stand-ins is
// in its frame.
type Server struct {
	*sandbox.Frame[*state]
	look     *sandbox.Look
	days     calendar
	patterns patterns
	mux      *http.ServeMux
	limits   limiter
}

// New makes a stand-in, or goes on with the one that is kept in the folder.
func New(o Options) (*Server, error) {
	s := &Server{look: o.Look, patterns: newPatterns()}
	if s.look == nil {
		s.look = &sandbox.Look{}
	}
	s.routes()
	var err error
	s.Frame, err = sandbox.NewFrame(sandbox.FrameOptions[*state]{
		BasePath: BasePath, API: s.mux, Elsewhere: http.HandlerFunc(elsewhere),
		Dir: o.Dir, File: stateName, Version: stateVersion, Empty: &state{}, Due: s.due, Look: s.lookAtAll, Day: o.Day, Unit: "USD",
		New:     func(now time.Time) (*state, error) { return newState(o, now) },
		TooMany: []byte(`{"errors":[{"code":"request_limit_exceeded","message":"Service unavailable, please limit request volume."}]}`),
		Failed:  []byte(`{"errors":[{"code":"internal_server_error","message":"An unexpected error occurred."}]}`),
		Logger:  o.Logger, ServingIssuer: issuerPrivate,
	})
	if err != nil {
		return nil, err
	}
	s.days = calendar{s.Day()}
	s.adminCalls()
	return s, nil
}

// elsewhere answers what is not of the API.
func elsewhere(w http.ResponseWriter, r *http.Request) {
	writeError(w, fail(http.StatusNotFound, "not_found|route", "There is nothing at %s; the API is below %s.", r.URL.Path, BasePath))
}

// newState is a new account: an organization that is validated, one that is not, and a division.
func newState(o Options, now time.Time) (*state, error) {
	st := &state{
		Head: sandbox.Head{Authority: o.Authority}, Settings: DefaultSettings(), LastID: 900100000, Balance: 10_000_000,
		Orders: map[int64]*order{}, Requests: map[int64]*request{}, Domains: map[int64]*domain{},
		Containers: map[int64]*container{
			rootContainer: {ID: rootContainer, Name: "Sandbox account"}, DemoContainer: {ID: DemoContainer, Name: "Web team", Parent: rootContainer},
		},
		Organizations: map[int64]*organization{},
	}
	day := o.Day
	if day == 0 {
		day = 24 * time.Hour
	}
	until := now.Add(organizationReuse * day)
	for n, validated := range map[int64]map[string]time.Time{DemoOrganization: {typeOV: until, typeEV: until}, PendingOrganization: {}} {
		st.Organizations[n] = &organization{
			ID: n, Name: map[int64]string{DemoOrganization: "Example Ltd", PendingOrganization: "Unvalidated Ltd"}[n], Address: "1 Example Street",
			City: "London", Country: "GB", Telephone: "+44 20 0000 0000", Container: rootContainer, Active: true, Validated: validated,
		}
	}
	if o.Settings != nil {
		st.Settings = *o.Settings
	}
	if err := st.Settings.check(); err != nil {
		return nil, err
	}
	if st.Authority == nil {
		a, err := NewAuthority()
		if err != nil {
			return nil, err
		}
		st.Authority = a
	}
	users := o.Users
	if len(users) == 0 {
		users = []User{{Key: "SANDBOX" + strings.ToUpper(sandbox.RandomValue(32)), Name: "Api", Role: Administrator, EVApprover: true}}
	}
	for _, u := range users {
		if err := st.addUser(u); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// The organizations and the division of a new account.
const (
	DemoOrganization    = 117483
	PendingOrganization = 117500
	DemoContainer       = 69748
)

// NewAuthority makes root and issuing CAs in the shape of DigiCert's. Tests share one, for RSA keys take a while.
func NewAuthority() (*sandbox.Authority, error) {
	return sandbox.NewAuthority([]sandbox.IssuerShape{
		{Root: "Sandbox Global Root G2", Name: issuerRSA, Kind: sandbox.RSA},
		{Root: "Sandbox Global Root G2", Name: issuerGeo, Kind: sandbox.RSA},
		{Root: "Sandbox Global Root G3", Name: issuerECC, Kind: sandbox.ECDSA},
		{Root: "Sandbox Private Root", Name: issuerPrivate, Kind: sandbox.ECDSA},
	})
}

func (st *state) addUser(u User) error {
	if err := u.check(); err != nil {
		return err
	}
	for _, have := range st.Users {
		if have.Key == u.Key {
			return fmt.Errorf("user %q has the API key of %q", u.Name, have.Name)
		}
	}
	if u.ID == 0 {
		u.ID = st.nextID()
	}
	st.Users = append(st.Users, &u)
	return nil
}

// settings are the account's.
func (s *Server) settings() Settings {
	var now Settings
	_ = s.Read(func(st *state) error { // the function returns none
		now = st.Settings
		return nil
	})
	return now
}

// call is one request to the API while it is answered.
type call struct {
	r       *http.Request
	user    *User
	body    []byte
	now     time.Time
	remarks []string
}

func (c *call) ctx() context.Context { return c.r.Context() }

// remark notes what the CA lets pass silently.
func (c *call) remark(format string, args ...any) {
	c.remarks = append(c.remarks, fmt.Sprintf(format, args...))
}

// number reads an id of the path. What is no number is no id of anything.
func (c *call) number(name string) (int64, error) {
	n, err := strconv.ParseInt(c.r.PathValue(name), 10, 64)
	if err != nil || n < 1 {
		return 0, fail(http.StatusNotFound, "not_found", "%s is no id.", c.r.PathValue(name))
	}
	return n, nil
}

// decode checks a body's fields and decodes it.
func (c *call) decode(v any, strict bool, fields ...sandbox.Field) error {
	body := c.body
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	object, err := sandbox.DecodeObject(body)
	if err != nil {
		return fail(http.StatusBadRequest, "bad_request_format", "The request cannot be read: %v", err)
	}
	f := &faults{}
	f.take(c, sandbox.Check(fields, object, strict))
	if err := f.err(); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fail(http.StatusBadRequest, "bad_request_format", "The request cannot be read: %v", err)
	}
	return nil
}

// paged answers a part of a list.
func (c *call) paged(name string, list []obj) (reply, error) {
	limit, offset := mostListed, 0
	for key, to := range map[string]*int{"limit": &limit, "offset": &offset} {
		text := c.r.URL.Query().Get(key)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || key == "limit" && (n == 0 || n > mostListed) {
			return reply{}, fail(http.StatusBadRequest, "invalid_value:"+key, "%s must be a number, and limit at most %d.", key, mostListed)
		}
		*to = n
	}
	page := obj{"total": len(list), "limit": limit, "offset": offset}
	part := list[min(offset, len(list)):]
	part = append([]obj{}, part[:min(limit, len(part))]...)
	return ok(obj{name: part, "page": page}), nil
}

// reply is an answer: JSON, or raw bytes of a kind.
type reply struct {
	status int
	body   any
	raw    []byte
	kind   string
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

func (r reply) write(w http.ResponseWriter) {
	raw, kind := r.raw, r.kind
	if raw == nil && r.body != nil {
		kind = "application/json"
		var err error
		if raw, err = json.Marshal(r.body); err != nil {
			http.Error(w, "encode the answer", http.StatusInternalServerError)
			return
		}
	}
	if kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(raw) // a client that has gone reads nothing
}

// handle makes a handler of the mux from one of the API's calls.
func (s *Server) handle(do func(c *call) (reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := &call{r: r, now: s.Now()}
		answer, err := s.admitted(c, do)
		status, code := answer.status, ""
		if err != nil {
			status, code = codeOf(err)
		}
		if status == http.StatusInternalServerError {
			s.Log.Error("a call failed in the sandbox itself", "path", r.URL.Path, "error", err)
		}
		s.Note(r, status, code, c.remarks)
		if err != nil {
			writeError(w, err)
			return
		}
		answer.write(w)
	}
}

// admitted checks who calls and how, and then answers.
func (s *Server) admitted(c *call, do func(c *call) (reply, error)) (reply, error) {
	key := c.r.Header.Get("X-DC-DEVKEY")
	if err := s.Read(func(st *state) error {
		for _, u := range st.Users {
			if u.Key == key && key != "" {
				have := *u
				c.user = &have
			}
		}
		return nil
	}); err != nil {
		return reply{}, err
	}
	if c.user == nil {
		return reply{}, wrongKey()
	}
	if s.settings().RateLimits && !s.limits.allow(key, time.Now()) {
		return reply{}, fail(http.StatusTooManyRequests, "request_limit_exceeded", "Service unavailable, please limit request volume.")
	}
	if err := c.user.permit(c.r.Method, strings.TrimPrefix(c.r.URL.Path, BasePath)); err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, mostRequest+1))
	if err != nil {
		return reply{}, fail(http.StatusBadRequest, "bad_request_format", "The request cannot be read: %v", err)
	}
	if len(body) > mostRequest {
		return reply{}, fail(http.StatusRequestEntityTooLarge, "bad_request_format", "The request is longer than %d bytes.", mostRequest)
	}
	c.body = body
	if err := checkHeaders(c); err != nil {
		return reply{}, err
	}
	return do(c)
}

// checkHeaders: the content type chooses the form of the answer, so that a call without it may be answered in XML.
//
// Unconfirmed: the answer to a body that is not called JSON; the stand-in knows no XML and refuses it.
func checkHeaders(c *call) error {
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	switch {
	case len(c.body) > 0 && (err != nil || kind != "application/json"):
		return fail(http.StatusBadRequest, "bad_request_format", "The Content-Type must be application/json.")
	case kind == "":
		c.remark("without a Content-Type of application/json the answer might be XML")
	}
	if c.r.Header.Get("User-Agent") == "" || strings.HasPrefix(c.r.Header.Get("User-Agent"), "Go-http-client") {
		c.remark("requests should carry a User-Agent of their own")
	}
	return nil
}

func codeOf(err error) (status int, code string) {
	var api *apiError
	if !errors.As(err, &api) {
		return http.StatusInternalServerError, "internal_server_error"
	}
	var codes []string
	for _, e := range api.errors {
		codes = append(codes, e.Code)
	}
	return api.status, strings.Join(codes, " ")
}

func writeError(w http.ResponseWriter, err error) {
	var api *apiError
	if !errors.As(err, &api) {
		api = fail(http.StatusInternalServerError, "internal_server_error", "%v", err)
	}
	status, body := api.Answer()
	sandbox.WriteJSON(w, status, body)
}
