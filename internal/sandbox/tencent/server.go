package tencent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

const (
	// APIVersion is what X-TC-Version must say.
	APIVersion = "2019-12-05"

	stateName    = "tencent.json"
	stateVersion = 1
	// mostRequest is the longest body that is documented.
	mostRequest = 10 << 20
	// mostPerSecond is how many calls of one action are answered in a second.
	mostPerSecond = 10
)

// Options are what a stand-in is made of. The zero value is one of the international site that forgets, with one key.
type Options struct {
	// Dir is a folder to keep the state in, so that a rehearsal survives a restart.
	Dir string
	// Look is how domains are looked at; nil means the machine's resolver and the usual ports.
	Look *sandbox.Look
	// Site is that of a new account; empty means International.
	Site Site
	// Keys are those of a new account; none means one that is made up.
	Keys []Key
	// Settings are those of a new account; nil means DefaultSettings.
	Settings *Settings
	// Authority is what signs for a new account; nil makes one, which takes a while.
	Authority *sandbox.Authority
	// Day is how long a day of terms and certificates is; 0 means 24 hours.
	Day time.Duration
	// Logger may be nil.
	Logger *slog.Logger
}

// Server is the stand-in. It is an http.Handler, and safe for concurrent use. What it shares with the other stand-ins is
// in its frame.
type Server struct {
	*sandbox.Frame[*state]
	look    *sandbox.Look
	days    calendar
	actions map[string]action
	others  []string // actions of the site that the stand-in does not play
	limits  limiter
	refused refusals
}

// New makes a stand-in, or goes on with the one that is kept in the folder.
func New(o Options) (*Server, error) {
	s := &Server{look: o.Look}
	if s.look == nil {
		s.look = &sandbox.Look{}
	}
	var err error
	s.Frame, err = sandbox.NewFrame(sandbox.FrameOptions[*state]{
		// One path has all actions: they are told apart by a header.
		Name: func(r *http.Request) (string, bool) { return "/" + r.Header.Get("X-TC-Action"), r.URL.Path == "/" },
		API:  http.HandlerFunc(s.serve), Elsewhere: http.HandlerFunc(elsewhere),
		Dir: o.Dir, File: stateName, Version: stateVersion, Empty: &state{}, Due: s.due, Look: s.lookAtAll, Day: o.Day, Unit: "USD",
		New:     func(time.Time) (*state, error) { return newState(o) },
		TooMany: envelope("", fail(tooMany, "Request limit exceeded."), nil),
		Failed:  envelope("", fail(internalError, "Internal error."), nil),
		Logger:  o.Logger, ServingIssuer: issuerECC,
	})
	if err != nil {
		return nil, err
	}
	s.days = calendar{s.Day()}
	s.actions, s.others = s.play(s.Account.Site)
	s.adminCalls()
	return s, nil
}

// newState is a new account: a company with a manager whose review is done, and another one whose is not.
func newState(o Options) (*state, error) {
	st := &state{
		Head: sandbox.Head{Authority: o.Authority}, Site: o.Site, Settings: DefaultSettings(), Balance: 10_000_000,
		Companies: []*company{{ID: DemoCompany, Name: "Example Ltd", Country: "SG"}},
		Managers: []*manager{
			{ID: DemoManager, Company: DemoCompany, Status: managerOK, First: "Ann", Last: "Admin", Email: "ann@example.com"},
			{ID: PendingManager, Company: DemoCompany, Status: "audit", First: "Ned", Last: "New", Email: "ned@example.com"},
		},
		Validated: map[string]time.Time{},
	}
	if st.Site == "" {
		st.Site = International
	}
	if o.Settings != nil {
		st.Settings = o.Settings.clone()
	}
	if err := errors.Join(st.Site.check(), st.Settings.check()); err != nil {
		return nil, err
	}
	if st.Authority == nil {
		a, err := NewAuthority()
		if err != nil {
			return nil, err
		}
		st.Authority = a
	}
	keys := o.Keys
	if len(keys) == 0 {
		keys = []Key{{SecretID: "AKIDsandbox" + sandbox.RandomValue(25), SecretKey: sandbox.RandomValue(32)}}
	}
	for _, k := range keys {
		if err := st.addKey(k); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// The company of a new account, and its managers.
const (
	DemoCompany    = 20001
	DemoManager    = 30001
	PendingManager = 30002
)

func (st *state) addKey(k Key) error {
	if err := k.check(); err != nil {
		return err
	}
	if st.key(k.SecretID) != nil {
		return fmt.Errorf("there is a key %s already", k.SecretID)
	}
	st.Keys = append(st.Keys, &k)
	return nil
}

func (st *state) key(id string) *Key {
	for _, k := range st.Keys {
		if k.SecretID == id {
			return k
		}
	}
	return nil
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

// elsewhere answers what is not of the API.
func elsewhere(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "There is nothing at "+r.URL.Path+"; the API is at / alone.", http.StatusNotFound)
}

type obj = map[string]any

// call is one request to the API while it is answered.
type call struct {
	r       *http.Request
	action  string
	key     Key
	body    []byte
	params  obj
	now     time.Time
	remarks []string
}

func (c *call) ctx() context.Context { return c.r.Context() }

// remark notes what the service lets pass silently.
func (c *call) remark(format string, args ...any) {
	c.remarks = append(c.remarks, fmt.Sprintf(format, args...))
}

// decode reads the parameters, which have been checked.
func (c *call) decode(v any) error {
	if err := json.Unmarshal(c.body, v); err != nil {
		return fail(invalidParameter, "The request cannot be read: %v", err)
	}
	return nil
}

// text is a parameter that is text, empty where it is not there.
func (c *call) text(name string) string {
	s, _ := c.params[name].(string)
	return s
}

// serve answers a call. Errors of the API have the status 200 as well.
//
// Unconfirmed: that the status of errors is always 200.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := &call{r: r, action: r.Header.Get("X-TC-Action"), now: s.Now()}
	answer, err := s.answer(c)
	code := ""
	var wrong *apiError
	if err != nil {
		wrong = errorOf(err)
		code = wrong.code
		if code == internalError && !errors.As(err, new(*apiError)) {
			s.Log.Error("a call failed in the sandbox itself", "action", c.action, "error", err)
		}
		if s.site() == Mainland && r.Header.Get("X-TC-Language") != "en-US" {
			wrong = fail(code, "%s(%s)", chinese(code), wrong.message)
		}
	}
	s.Note(r, http.StatusOK, code, c.remarks)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(envelope(requestID(), wrong, answer)) // a client that has gone reads nothing
}

func (s *Server) site() Site {
	var site Site
	_ = s.Read(func(st *state) error { // the function returns none
		site = st.Site
		return nil
	})
	return site
}

// envelope puts an answer, or what is wrong, into the API's form.
func envelope(id string, wrong *apiError, answer obj) []byte {
	response := obj{}
	if wrong != nil {
		response["Error"] = obj{"Code": wrong.code, "Message": wrong.message}
	} else {
		for name, v := range answer {
			response[name] = v
		}
	}
	response["RequestId"] = id
	text, err := json.Marshal(obj{"Response": response})
	if err != nil {
		return []byte(`{"Response":{"Error":{"Code":"InternalError","Message":"encode the answer"},"RequestId":""}}`)
	}
	return text
}

// requestID is a random UUID (RFC 9562 section 5.4).
func requestID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// answer checks who calls and what, and then does it.
func (s *Server) answer(c *call) (obj, error) {
	if err := s.readRequest(c); err != nil {
		return nil, err
	}
	if err := s.authenticate(c); err != nil {
		return nil, err
	}
	a, err := s.actionOf(c)
	if err != nil {
		return nil, err
	}
	if slices.Contains(c.key.Denied, c.action) {
		return nil, fail(authDenied, "The key may not call ssl:%s.", c.action)
	}
	if s.settings().RateLimits && !s.limits.allow(c.action, time.Now()) {
		return nil, fail(tooMany, "More than %d calls of %s in a second.", mostPerSecond, c.action)
	}
	if c.params, err = sandbox.DecodeObject(c.body); err != nil {
		return nil, fail(invalidParameter, "The request cannot be read: %v", err)
	}
	if err := faultError(sandbox.Check(a.fields, c.params, true)); err != nil {
		return nil, err
	}
	refusal, refused := s.refused.take(c.action)
	if refused && !refusal.After {
		return nil, fail(refusal.Code, "%s", refusal.message())
	}
	answer, err := a.do(c)
	if err == nil && refused {
		return nil, fail(refusal.Code, "%s", refusal.message())
	}
	return answer, err
}

// readRequest checks the form of a request, and reads its body.
//
// Unconfirmed: the codes for other methods than POST and for other types than JSON. GET with a query, which the
// documentation knows, is not played.
func (s *Server) readRequest(c *call) error {
	if c.r.Method != http.MethodPost {
		return fail(wrongProtocol, "The sandbox is called by POST alone.")
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if charset := params["charset"]; err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return fail(wrongProtocol, "The Content-Type must be application/json.")
	}
	body, err := io.ReadAll(io.LimitReader(c.r.Body, mostRequest+1))
	if err != nil {
		return fail(invalidRequest, "The request cannot be read: %v", err)
	}
	if len(body) > mostRequest {
		return fail(tooLarge, "The request is longer than %d bytes.", mostRequest)
	}
	c.body = body
	return nil
}

// authenticate checks the signature, and finds the key.
func (s *Server) authenticate(c *call) error {
	given, err := parseAuthorization(c.r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	if err := s.Read(func(st *state) error {
		k := st.key(given.secretID)
		if k == nil {
			return fail(authID, "The SecretId is not found.")
		}
		c.key = *k
		return nil
	}); err != nil {
		return err
	}
	// By the machine's clock, for that is the one that clients sign by.
	if err := given.checkTimestamp(c.r.Header.Get("X-TC-Timestamp"), time.Now().Add(time.Duration(s.settings().Skew))); err != nil {
		return err
	}
	if err := given.verify(c.r, c.body, c.key.SecretKey); err != nil {
		return err
	}
	if c.r.Header.Get("X-TC-Token") != c.key.Token {
		return fail(authToken, "X-TC-Token is not the token of the key.")
	}
	return nil
}

// actionOf finds what is to be done.
func (s *Server) actionOf(c *call) (action, error) {
	version, region := c.r.Header.Get("X-TC-Version"), c.r.Header.Get("X-TC-Region")
	switch {
	case c.action == "" || version == "":
		return action{}, fail(missingParameter, "X-TC-Action and X-TC-Version are required.")
	case version != APIVersion:
		return action{}, fail(noSuchVersion, "There is no version %q.", version)
	case strings.Trim(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return action{}, fail(wrongRegion, "There is no region %q.", region)
	}
	a, ok := s.actions[c.action]
	switch {
	case ok:
		return a, nil
	case slices.Contains(s.others, c.action):
		return action{}, fail(unsupported, "The sandbox does not play %s.", c.action)
	default:
		return action{}, fail(invalidAction, "There is no action %q at this site.", c.action)
	}
}

// limiter holds the limits of calls. The zero value is ready.
type limiter struct {
	mu    sync.Mutex
	calls map[string][]time.Time
}

// allow reports whether an action may be called now, by the machine's clock: that is the one that clients wait by.
func (l *limiter) allow(action string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls == nil {
		l.calls = map[string][]time.Time{}
	}
	past := l.calls[action]
	for len(past) > 0 && now.Sub(past[0]) >= time.Second {
		past = past[1:]
	}
	allowed := len(past) < mostPerSecond
	if allowed {
		past = append(past, now)
	}
	l.calls[action] = past
	return allowed
}
