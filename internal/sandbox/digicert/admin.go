package digicert

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// adminPath is where a rehearsal is directed from: what no client of the CA can do.
const adminPath = "/_sandbox/"

// admin answers the rehearsal's own calls, to this machine only: they need no key.
func (s *Server) admin(w http.ResponseWriter, r *http.Request) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		writeError(w, fail(http.StatusForbidden, "sandbox_loopback_only", "the calls below %s are for this machine only", adminPath))
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, mostRequest))
	if err != nil {
		writeError(w, fail(http.StatusBadRequest, "sandbox_invalid", "read the request: %v", err))
		return
	}
	s.adminMux(body).ServeHTTP(w, r)
}

// adminMux has the calls, each with the body that was read.
func (s *Server) adminMux(body []byte) *http.ServeMux {
	mux := http.NewServeMux()
	on := func(pattern string, do func(r *http.Request) (any, error)) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" "+adminPath+path, func(w http.ResponseWriter, r *http.Request) {
			v, err := do(r)
			var api *apiError
			switch {
			case errors.As(err, &api):
				writeError(w, api)
			case err != nil:
				writeError(w, fail(http.StatusBadRequest, "sandbox_invalid", "%v", err))
			case v == nil:
				reply{status: http.StatusNoContent}.write(w)
			default:
				ok(v).write(w)
			}
		})
	}
	on("GET ledger", func(*http.Request) (any, error) { return s.ledgerView(), nil })
	on("GET calls", func(*http.Request) (any, error) { return obj{"calls": s.Calls()}, nil })
	on("DELETE calls", func(*http.Request) (any, error) { s.ClearCalls(); return nil, nil })
	on("GET orders", func(*http.Request) (any, error) { return obj{"orders": s.Orders()}, nil })
	on("GET requests", func(*http.Request) (any, error) { return obj{"requests": s.Requests()}, nil })
	on("POST requests/{id}", s.adminRequest(body))
	on("POST orders/{id}/follow-email", s.adminEmail(body))
	on("POST organizations/{id}", s.adminOrganization(body))
	on("POST balance", s.adminBalance(body))
	on("GET clock", func(*http.Request) (any, error) { return s.clockView(), nil })
	on("POST clock", s.adminClock(body))
	on("GET misbehave", func(*http.Request) (any, error) { return obj{"misbehaviours": s.mischief.List()}, nil })
	on("POST misbehave", s.adminMisbehave(body))
	on("DELETE misbehave", func(*http.Request) (any, error) { s.Behave(); return nil, nil })
	on("GET settings", func(*http.Request) (any, error) { return s.settings(), nil })
	on("PATCH settings", s.adminSettings(body))
	on("POST users", s.adminUser(body))
	on("POST metadata", s.adminMetadata(body))
	on("POST look", func(r *http.Request) (any, error) { return nil, s.LookNow(r.Context()) })
	mux.HandleFunc("GET "+adminPath+"roots", func(w http.ResponseWriter, _ *http.Request) {
		reply{status: http.StatusOK, raw: s.RootsPEM(), kind: "application/x-pem-file"}.write(w)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, fail(http.StatusNotFound, "sandbox_not_found", "there is no %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// strictly decodes a body of the rehearsal's own calls: a typing error is told.
func strictly(body []byte, v any, fields ...sandbox.Field) error {
	object, err := sandbox.DecodeObject(body)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range sandbox.Check(fields, object, true) {
		errs = append(errs, errors.New(f.Message))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return json.Unmarshal(body, v)
}

func idOf(r *http.Request) (int64, error) {
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, fail(http.StatusNotFound, "sandbox_not_found", "%q is no id", r.PathValue("id"))
	}
	return n, nil
}

func (s *Server) ledgerView() any {
	l := s.Ledger()
	return obj{
		"purchases": l.Count(sandbox.Purchase), "reissues": l.Count(sandbox.Reissue), "cancels": l.Count(sandbox.Cancel),
		"counts": l.Counts(), "sum_cents": l.Sum(), "currency": "USD", "entries": append([]sandbox.Entry{}, l.Entries...),
	}
}

func (s *Server) clockView() any {
	return obj{"now": s.clock.Now().Format(time.RFC3339), "offset": s.clock.Offset().String(), "day": s.opts.Day.String()}
}

func (s *Server) adminRequest(body []byte) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var b struct {
			Status  string `json:"status"`
			Comment string `json:"comment"`
		}
		if err := strictly(body, &b, required(textOf("status", requestApproved, requestRejected)), text("comment")); err != nil {
			return nil, err
		}
		n, err := idOf(r)
		if err != nil {
			return nil, err
		}
		return nil, s.Process(r.Context(), n, b.Status == requestApproved, b.Comment)
	}
}

func (s *Server) adminEmail(body []byte) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var b struct {
			Domain string `json:"domain"`
		}
		if len(body) > 0 {
			if err := strictly(body, &b, text("domain")); err != nil {
				return nil, err
			}
		}
		n, err := idOf(r)
		if err != nil {
			return nil, err
		}
		return nil, s.FollowEmail(r.Context(), n, b.Domain)
	}
}

func (s *Server) adminOrganization(body []byte) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		b := struct {
			Validated bool     `json:"validated"`
			Types     []string `json:"types"`
		}{Types: []string{typeOV, typeEV}}
		if err := strictly(body, &b, required(boolean("validated")), list("types", textOf("", typeOV, typeEV))); err != nil {
			return nil, err
		}
		n, err := idOf(r)
		if err != nil {
			return nil, err
		}
		return nil, s.ValidateOrganization(r.Context(), n, b.Validated, b.Types...)
	}
}

func (s *Server) adminBalance(body []byte) func(r *http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		var b struct {
			Cents int64 `json:"cents"`
		}
		if err := strictly(body, &b, required(integer("cents", -mostID, mostID))); err != nil {
			return nil, err
		}
		return nil, s.SetBalance(b.Cents)
	}
}

func (s *Server) adminClock(body []byte) func(r *http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		var b struct {
			Advance sandbox.Delay `json:"advance"`
			Days    int64         `json:"days"`
		}
		if err := strictly(body, &b, text("advance"), integer("days", -mostPlanDays, mostPlanDays)); err != nil {
			return nil, err
		}
		return s.clockView(), s.Advance(time.Duration(b.Advance) + time.Duration(b.Days)*s.opts.Day)
	}
}

func (s *Server) adminMisbehave(body []byte) func(r *http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		var b sandbox.Misbehaviour
		if err := strictly(body, &b, text("method"), text("path"), integer("skip", 0, 1<<30), integer("times", -1, 1<<30),
			required(text("kind")), boolean("after"), integer("status", 200, 599), text("retry_after"), text("delay")); err != nil {
			return nil, err
		}
		return nil, s.Misbehave(b)
	}
}

func (s *Server) adminSettings(body []byte) func(r *http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		var changed Settings
		err := s.change(s.clock.Now(), func(st *state) error {
			changed = st.Settings.clone()
			if err := strictly(body, &changed, settingsFields()...); err != nil {
				return err
			}
			if err := changed.check(); err != nil {
				return err
			}
			st.Settings = changed
			return nil
		})
		return changed, err
	}
}

func settingsFields() []sandbox.Field {
	fields := []sandbox.Field{
		text("approval"), text("dcv_scope"), text("alternate_delay"), text("issue_delay"),
		integer("plan_years", 1, mostPlanYears), list("products", text("")),
	}
	for _, name := range []string{
		"strict", "multi_year_plans", "unique_alternative_ids", "guest_access", "ica_selection", "choose_ct", "check_caa", "free_counterpart",
		"rate_limits", "check_dcv_fails", "unknown_alternate_is_404", "auth_key_miss_fails", "skip_denied_fails",
	} {
		fields = append(fields, boolean(name))
	}
	return fields
}

func (s *Server) adminUser(body []byte) func(r *http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		var u User
		if err := strictly(body, &u, required(text("key")), text("name"), required(integer("role", 1, 5)), text("restriction"),
			integer("container", 0, mostID), boolean("ev_approver")); err != nil {
			return nil, err
		}
		return nil, s.AddUser(u)
	}
}

func (s *Server) adminMetadata(body []byte) func(r *http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		var m metadata
		if err := strictly(body, &m, required(integer("id", 1, mostID)), required(text("label")),
			textOf("data_type", "text", "int", "email_address"), boolean("is_required"), boolean("is_active")); err != nil {
			return nil, err
		}
		return nil, s.change(s.clock.Now(), func(st *state) error {
			st.Metadata = append(st.Metadata, m)
			return nil
		})
	}
}

// RootsPEM are the roots that the certificates end in, for a client that wants to trust them while it rehearses.
func (s *Server) RootsPEM() []byte {
	var out []byte
	seen := map[string]bool{}
	_ = s.read(func(st *state) error { // the function returns none
		for _, i := range st.Authority.Issuers {
			if !seen[string(i.Root.Raw)] {
				seen[string(i.Root.Raw)] = true
				out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Root.Raw})...)
			}
		}
		return nil
	})
	return out
}
