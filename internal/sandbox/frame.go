package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Head is the part of a stand-in's state that all of them have. It is embedded in the state.
type Head struct {
	Version     int           `json:"version"`
	ClockOffset time.Duration `json:"clock_offset"`
	Authority   *Authority    `json:"authority"`
	Ledger      Ledger        `json:"ledger"`
}

func (h *Head) head() *Head { return h }

// Account is the state of a stand-in: a pointer to plain data that embeds Head. Its Frame guards it.
type Account interface{ head() *Head }

// FrameOptions say what a stand-in's own part is.
type FrameOptions[A Account] struct {
	// BasePath is where the API is found below the server's address.
	BasePath string
	// Name is how a call is called in the list of calls and in misbehaviours, and whether it is one of the API at all; nil
	// means the path below BasePath. An API that has one path for all says here what tells its calls apart.
	Name func(r *http.Request) (at string, ours bool)
	// API answers the calls of the API, Elsewhere those to other paths.
	API, Elsewhere http.Handler

	// Dir is a folder to keep the state in, empty for a stand-in that forgets; File is the file's name in it, and Version
	// that of the state's form.
	Dir, File string
	Version   int
	// Empty is where a kept state is decoded to, New makes that of a new account.
	Empty A
	New   func(now time.Time) (A, error)
	// Due does what has become due, before every change. The lock is held. It may be nil.
	Due func(now time.Time)
	// Look looks at the domains of all orders that wait for it.
	Look func(ctx context.Context) error

	// Day is how long a day of plans and certificates is; 0 means 24 hours.
	Day time.Duration
	// Unit is what the ledger's amounts are in, such as USD; they are counted in hundredths of it.
	Unit string
	// ServingIssuer is the name of the issuing CA for the stand-in's own HTTPS server.
	ServingIssuer string
	// TooMany and Failed are the bodies of misbehaving 429 and 5xx answers.
	TooMany, Failed []byte
	// Logger may be nil.
	Logger *slog.Logger
}

// Frame stands around a stand-in's own logic: it holds the state and keeps it, has the clock, lets calls go wrong,
// remembers them, and answers the rehearsal's own calls below AdminPath. It is an http.Handler, safe for concurrent use.
// A stand-in embeds it, so that what it exports is what all stand-ins can do.
type Frame[A Account] struct {
	// Admin has the calls below AdminPath; a stand-in adds its own before it serves.
	Admin *Admin
	// Log is never nil.
	Log *slog.Logger
	// Account is guarded: it is for functions that Read or Change call, and what they call.
	Account A

	opts     FrameOptions[A]
	clock    Clock
	store    Store
	mischief Mischief
	calls    Calls
	mu       sync.Mutex
}

// NewFrame makes a new account, or goes on with the one that is kept in the folder.
func NewFrame[A Account](o FrameOptions[A]) (*Frame[A], error) {
	if o.Day == 0 {
		o.Day = 24 * time.Hour
	}
	if o.Day < time.Millisecond {
		return nil, fmt.Errorf("a day of %v is too short", o.Day)
	}
	f := &Frame[A]{
		Admin: newAdmin(), Log: o.Logger, opts: o, store: Store{Dir: o.Dir, Name: o.File},
		mischief: Mischief{TooMany: o.TooMany, Failed: o.Failed},
	}
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	if f.opts.Name == nil {
		f.opts.Name = func(r *http.Request) (string, bool) { return strings.CutPrefix(r.URL.Path, o.BasePath) }
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.adminCalls()
	return f, nil
}

// load finds the account that is kept, or makes a new one.
func (f *Frame[A]) load() error {
	account := f.opts.Empty
	found, err := f.store.Load(account)
	if err != nil {
		return err
	}
	if v := account.head().Version; found && v != f.opts.Version {
		return fmt.Errorf("%s is of version %d; this program knows version %d", f.opts.File, v, f.opts.Version)
	}
	if !found {
		if account, err = f.opts.New(f.clock.Now()); err != nil {
			return err
		}
		account.head().Version = f.opts.Version
		if err := f.store.Save(account); err != nil {
			return err
		}
	}
	if account.head().Authority == nil {
		return fmt.Errorf("%s has no issuing CAs (remove the file to begin anew)", f.opts.File)
	}
	f.Account = account
	f.clock.SetOffset(account.head().ClockOffset)
	return nil
}

// Read calls do with the account, which it must not change.
func (f *Frame[A]) Read(do func(account A) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return do(f.Account)
}

// Change calls do with the account and keeps what it changed. It must change nothing where it returns an error.
func (f *Frame[A]) Change(now time.Time, do func(account A) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opts.Due != nil {
		f.opts.Due(now)
	}
	if err := do(f.Account); err != nil {
		return err
	}
	f.Account.head().ClockOffset = f.clock.Offset()
	return f.store.Save(f.Account)
}

// ServeHTTP answers the API and the rehearsal's own calls below AdminPath.
func (f *Frame[A]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, AdminPath) {
		f.Admin.ServeHTTP(w, r)
		return
	}
	at, ours := f.opts.Name(r)
	if !ours {
		f.opts.Elsewhere.ServeHTTP(w, r)
		return
	}
	number := f.calls.Begin(f.clock.Now(), r.Method, at)
	f.mischief.Serve(w, r, at, func(what string) {
		f.calls.Note(number, func(c *Call) { c.Misbehaved = what })
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.opts.API.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), noteKey{}, note{number, at})))
	}))
}

type noteKey struct{}

// note is which call is being answered.
type note struct {
	number int
	at     string
}

// Note remembers how a call was answered, and logs it. Remarks are what the CA would let pass, and what a client had
// better know. It is called from within the API's handler.
func (f *Frame[A]) Note(r *http.Request, status int, code string, remarks []string) {
	n, _ := r.Context().Value(noteKey{}).(note)
	f.calls.Note(n.number, func(c *Call) { c.Status, c.Code, c.Remarks = status, code, remarks })
	f.Log.Info("call", "method", r.Method, "path", n.at, "status", status, "code", code, "remarks", strings.Join(remarks, "; "))
}

// Ledger returns what was bought, and all else that happened.
func (f *Frame[A]) Ledger() Ledger {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Account.head().Ledger.Copy()
}

// Calls returns the requests that came in, oldest first.
func (f *Frame[A]) Calls() []Call { return f.calls.List() }

// ClearCalls forgets them.
func (f *Frame[A]) ClearCalls() { f.calls.Clear() }

// Misbehave makes calls go wrong.
func (f *Frame[A]) Misbehave(b Misbehaviour) error { return f.mischief.Add(b) }

// Behave ends all misbehaviour.
func (f *Frame[A]) Behave() { f.mischief.Clear() }

// Now is the stand-in's time.
func (f *Frame[A]) Now() time.Time { return f.clock.Now() }

// Advance moves the stand-in's clock, and does what becomes due.
func (f *Frame[A]) Advance(d time.Duration) error {
	f.clock.Advance(d)
	return f.Change(f.clock.Now(), func(A) error { return nil })
}

// Day is how long a day of plans and certificates is.
func (f *Frame[A]) Day() time.Duration { return f.opts.Day }

// LookNow looks at the domains of all orders that wait for it, as the CA does on its own from time to time.
func (f *Frame[A]) LookNow(ctx context.Context) error {
	if f.opts.Look == nil {
		return nil
	}
	return f.opts.Look(ctx)
}

// Watch does so again and again until the context ends. CAs look every minute at first and then ever more seldom; a
// rehearsal has one pace.
func (f *Frame[A]) Watch(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := f.LookNow(ctx); err != nil && ctx.Err() == nil {
				f.Log.Warn("could not look at the domains of all orders", "error", err)
			}
		}
	}
}

// RootsPEM are the roots that the certificates end in, for a client that wants to trust them while it rehearses.
func (f *Frame[A]) RootsPEM() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []byte
	seen := map[string]bool{}
	for _, i := range f.Account.head().Authority.Issuers {
		if !seen[string(i.Root.Raw)] {
			seen[string(i.Root.Raw)] = true
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Root.Raw})...)
		}
	}
	return out
}

// ServingCertificate makes a certificate for the stand-in's own HTTPS server.
func (f *Frame[A]) ServingCertificate(names []string) (tls.Certificate, error) {
	if len(names) == 0 {
		return tls.Certificate{}, errors.New("make the server's certificate: it has no name")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make the server's key: %w", err)
	}
	f.mu.Lock()
	issuer := f.Account.head().Authority.Named(f.opts.ServingIssuer)
	f.mu.Unlock()
	now := time.Now()
	cert, err := issuer.Issue(Leaf{
		PublicKey: key.Public(), CommonName: "certbridge-sandbox", Names: names, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw, issuer.Cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}
