package servertastic

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// BasePath is where the API is found below the server's address.
	BasePath = "/v2"
	// StartPoints are those of a new account, unless Options say otherwise.
	StartPoints = 100_000

	stateName    = "servertastic.json"
	stateVersion = 1
	firstID      = 400100
)

// Options are what a stand-in is made of. The zero value is one that forgets, with a random key.
type Options struct {
	// Dir is a folder to keep the state in, so that a rehearsal survives a restart.
	Dir string
	// Look is how domains are looked at; nil means the machine's resolver and the usual ports.
	Look *sandbox.Look
	// Key is the API key of a new account; empty means a random one.
	Key string
	// Points are those of a new account; 0 means StartPoints.
	Points int64
	// Settings are those of a new account; nil means DefaultSettings.
	Settings *Settings
	// Authority is what signs for a new account; nil makes one, which takes a while.
	Authority *sandbox.Authority
	// Day is how long a day of orders and certificates is; 0 means 24 hours.
	Day time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// Server is the stand-in. It is an http.Handler, and safe for concurrent use. What it shares with the other stand-ins is
// in its frame.
type Server struct {
	*sandbox.Frame[*state]
	look *sandbox.Look
	mux  *http.ServeMux
	// refusals counts them, for those that come with the status 200.
	refusals atomic.Int64
}

// New makes a stand-in, or goes on with the one that is kept in the folder.
func New(o Options) (*Server, error) {
	s := &Server{look: &sandbox.Look{}}
	if o.Look != nil {
		copied := *o.Look
		s.look = &copied
	}
	s.look.SameHost = true // a file must not redirect to another host
	s.routes()
	var err error
	s.Frame, err = sandbox.NewFrame(sandbox.FrameOptions[*state]{
		BasePath: BasePath, API: s.mux, Elsewhere: http.HandlerFunc(elsewhere),
		Dir: o.Dir, File: stateName, Version: stateVersion, Empty: &state{}, Due: s.due, Look: s.lookAtAll, Day: o.Day, Unit: "points",
		New:     func(time.Time) (*state, error) { return newState(o) },
		TooMany: []byte(`{"error":{"code":429,"message":"Too many requests"}}`),
		Failed:  []byte(`{"error":{"code":500,"message":"Internal error"}}`),
		Logger:  o.Logger, ServingIssuer: issuerECC,
	})
	if err != nil {
		return nil, err
	}
	s.adminCalls()
	return s, nil
}

// newState is a new account.
func newState(o Options) (*state, error) {
	st := &state{Head: sandbox.Head{Authority: o.Authority}, Settings: DefaultSettings(), Key: o.Key, Points: o.Points, LastID: firstID}
	if o.Settings != nil {
		st.Settings = o.Settings.clone()
	}
	if err := st.Settings.check(); err != nil {
		return nil, err
	}
	if st.Key == "" {
		st.Key = "SANDBOX" + strings.ToUpper(sandbox.RandomValue(32))
	}
	if st.Points == 0 {
		st.Points = StartPoints
	}
	if st.Authority == nil {
		a, err := NewAuthority()
		if err != nil {
			return nil, err
		}
		st.Authority = a
	}
	return st, nil
}

func elsewhere(w http.ResponseWriter, r *http.Request) {
	status, body := fail(http.StatusNotFound, "There is nothing at %s; the API is below %s.", r.URL.Path, BasePath).Answer()
	sandbox.WriteJSON(w, status, body)
}

// call is one request to the API while it is answered.
type call struct {
	r       *http.Request
	form    form
	now     time.Time
	remarks []string
}

func (c *call) ctx() context.Context { return c.r.Context() }

// remark notes what the reseller lets pass silently.
func (c *call) remark(format string, args ...any) {
	c.remarks = append(c.remarks, fmt.Sprintf(format, args...))
}

// The secrets that a call needs.
const (
	needsKey   = "api_key"
	needsToken = "order_token"
	needsNone  = ""
)

// route is one call of the API.
type route struct {
	// methods are the HTTP methods that it may be called by.
	methods []string
	secret  string
	// required and optional are its parameters beside the secret. Where any is set, the call looks at them itself.
	required, optional []string
	any                bool
	do                 func(c *call) (any, error)
}

// routes are the calls of the API that the stand-in knows.
//
// Unconfirmed: that calls without .json, or by another method than the documented one, are refused.
func (s *Server) routes() {
	get, post, both := []string{http.MethodGet}, []string{http.MethodPost}, []string{http.MethodGet, http.MethodPost}
	s.mux = http.NewServeMux()
	for path, r := range map[string]route{
		"order/generatetoken":       {methods: get, secret: needsKey, any: true, do: s.generateToken},
		"order/productfields":       {methods: get, secret: needsToken, do: s.productFields},
		"order/place":               {methods: both, secret: needsToken, any: true, do: s.place},
		"order/review":              {methods: get, secret: needsToken, do: s.review},
		"order/approverlist":        {methods: get, required: []string{"domain_name"}, do: s.approverList},
		"order/pollauth":            {methods: get, secret: needsToken, do: s.pollAuth},
		"order/cancel":              {methods: get, secret: needsToken, do: s.cancel},
		"order/resendemail":         {methods: get, secret: needsToken, required: []string{"email_type"}, do: s.resendEmail},
		"order/changeapproveremail": {methods: get, secret: needsToken, required: []string{"email"}, do: s.changeApprover},
		"order/changeauthmethod":    {methods: get, secret: needsToken, required: []string{"email_address"}, do: s.changeMethod},
		"order/reissue":             {methods: post, secret: needsToken, any: true, do: s.reissue},
		"order/decodecsr":           {methods: post, secret: needsToken, required: []string{"csr"}, do: s.decodeCSR},
		"order/showtokens":          {methods: get, secret: needsKey, do: s.showTokens},
		"order/modifiedorders":      {methods: get, secret: needsKey, required: []string{"date"}, do: s.modifiedOrders},
		"order/expiring":            {methods: get, secret: needsKey, optional: []string{"days"}, do: s.expiring},
		"order/isocodes":            {methods: get, do: s.isoCodes},
		"account/review":            {methods: get, secret: needsKey, do: s.accountReview},
		"account/pointsaudit":       {methods: get, secret: needsKey, do: s.pointsAudit},
		"account/regenerateapikey":  {methods: get, secret: needsKey, do: s.regenerateKey},
		"product/listproducts":      {methods: get, secret: needsKey, required: []string{"product_group"}, do: s.listProducts},
	} {
		s.mux.HandleFunc(BasePath+"/"+path+".json", s.handle(r))
	}
	s.mux.HandleFunc("/", s.handle(route{methods: both, any: true, do: func(c *call) (any, error) {
		return nil, fail(http.StatusNotFound, "There is no %s %s.", c.r.Method, c.r.URL.Path)
	}}))
}

// handle makes a handler of the mux from one of the API's calls.
func (s *Server) handle(r route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		c := &call{r: req, now: s.Now()}
		body, err := s.admitted(c, r)
		status, code := http.StatusOK, ""
		if err != nil {
			api := asAPI(err)
			status, body = api.Answer()
			code = api.Error()
			if status == http.StatusInternalServerError {
				s.Log.Error("a call failed in the sandbox itself", "path", req.URL.Path, "error", err)
			}
			status = s.errorStatus(status)
		}
		s.Note(req, status, code, c.remarks)
		sandbox.WriteJSON(w, status, body)
	}
}

// errorStatus is the HTTP status of a refusal: the reseller is known to send some with 200.
func (s *Server) errorStatus(status int) int {
	if status < http.StatusBadRequest || status >= http.StatusInternalServerError || status == http.StatusUnauthorized {
		return status
	}
	even := s.refusals.Add(1)%2 == 0
	if m := s.settings().ErrorStatus; m == "ok" || m == "mixed" && even {
		return http.StatusOK
	}
	return status
}

// admitted checks who calls and how, and then answers.
func (s *Server) admitted(c *call, r route) (any, error) {
	if !slices.Contains(r.methods, c.r.Method) {
		return nil, fail(http.StatusMethodNotAllowed, "%s must be called by %s", c.r.URL.Path, strings.Join(r.methods, " or "))
	}
	f, err := readForm(c)
	if err != nil {
		return nil, err
	}
	c.form = f
	if agent := c.r.Header.Get("User-Agent"); agent == "" || strings.HasPrefix(agent, "Go-http-client") {
		c.remark("requests should carry a User-Agent of their own")
	}
	if err := s.Read(func(st *state) error { return st.permit(c, r.secret) }); err != nil {
		return nil, err
	}
	if !r.any {
		if err := s.checkParameters(c, r.secret, r.required, r.optional); err != nil {
			return nil, err
		}
	}
	return r.do(c)
}

// permit checks a call's secret.
func (st *state) permit(c *call, secret string) error {
	known := true
	switch secret {
	case needsKey:
		known = subtle.ConstantTimeCompare([]byte(c.form[needsKey]), []byte(st.Key)) == 1
	case needsToken:
		known = st.byToken(c.form[needsToken]) != nil
	}
	if !known {
		return unauthorized()
	}
	return nil
}

// checkParameters checks that what is required is there, and nothing else that is not known.
//
// Unconfirmed: what the API does with parameters it does not know; in the strict mode they are errors.
func (s *Server) checkParameters(c *call, secret string, required, optional []string) error {
	var f faults
	for _, name := range required {
		if c.form[name] == "" {
			f.add("%s is required", name)
		}
	}
	known := append(slices.Concat(required, optional), "integration_source_id")
	if secret != needsNone {
		known = append(known, secret)
	}
	refuseUnknown(c, &f, s.settings().Strict, known)
	return f.err()
}

// refuseUnknown finds parameters that are not known.
func refuseUnknown(c *call, f *faults, strict bool, known []string) {
	for _, name := range c.form.names() {
		switch {
		case slices.Contains(known, name):
		case strict:
			f.add("%q is no parameter of this call", name)
		default:
			c.remark("the parameter %q is not known", name)
		}
	}
}

// settings are the account's.
func (s *Server) settings() Settings {
	var now Settings
	_ = s.Read(func(st *state) error { // the function returns none
		now = st.Settings.clone()
		return nil
	})
	return now
}

// byToken calls do with the order of a call's token. do may change it.
func (s *Server) byToken(c *call, do func(st *state, o *order) error) error {
	return s.Change(c.now, func(st *state) error {
		o := st.byToken(c.form[needsToken])
		if o == nil {
			return unauthorized()
		}
		return do(st, o)
	})
}
