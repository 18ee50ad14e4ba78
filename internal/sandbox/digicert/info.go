package digicert

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// rootContainer is the account itself.
const rootContainer = 1

func (s *Server) containerName(n int64) string {
	if c := s.Account.Containers[n]; c != nil {
		return c.Name
	}
	return ""
}

// me is GET /user/me: whose key it is, and what it may.
func (s *Server) me(c *call) (reply, error) {
	u := c.user
	return ok(obj{
		"id": u.ID, "username": u.Name, "first_name": u.Name, "last_name": "User", "email": "api@sandbox.invalid", "type": "service",
		"account":      obj{"id": 1},
		"status":       "active",
		"is_cert_user": true,
		"access_roles": []obj{{"id": int(u.Role), "name": u.Role.String()}},
		"container":    obj{"id": max(rootContainer, u.Container)},
	}), nil
}

func (s *Server) productView(p product) obj {
	years := []int{1}
	if s.Account.Settings.MultiYearPlans {
		years = []int{1, 2, 3}[:s.Account.Settings.PlanYears]
	}
	hashes := []obj{{"id": "sha256", "name": "SHA-256"}, {"id": "sha384", "name": "SHA-384"}, {"id": "sha512", "name": "SHA-512"}}
	var issuers []obj
	for _, name := range p.issuers() {
		issuers = append(issuers, obj{"id": s.Account.Authority.Named(name).ID, "name": name})
	}
	return obj{
		"group_name": p.Validation + "_ssl_certificate", "name_id": p.NameID, "name": p.Name, "type": "ssl_certificate",
		"validation_type": p.Validation, "allowed_validity_years": []int{1}, "allowed_order_validity_years": years,
		"max_multi_year_order_validity_years": years[len(years)-1], "csr_required": true, "duplicates_allowed": p.Validation != typeDV,
		"signature_hash_types": obj{"allowed_hash_types": hashes, "default_hash_type_id": "sha256"},
		"allowed_ca_certs":     issuers, "allowed_container_ids": []int64{}, "replacement_product_name_id": nil,
	}
}

// listProducts is GET /product.
func (s *Server) listProducts(*call) (reply, error) {
	var list []obj
	_ = s.Read(func(st *state) error { // the function returns none
		for _, p := range products() {
			if st.Settings.sells(p) {
				list = append(list, s.productView(p))
			}
		}
		return nil
	})
	return ok(obj{"products": list}), nil
}

// getProduct is GET /product/{id}.
func (s *Server) getProduct(c *call) (reply, error) {
	p, there := productByID(c.r.PathValue("id"))
	if !there || !s.settings().sells(p) {
		return reply{}, notFound("product")
	}
	var body obj
	err := s.Read(func(*state) error {
		body = s.productView(p)
		return nil
	})
	return ok(body), err
}

// listContainers is GET /container.
func (s *Server) listContainers(c *call) (reply, error) {
	var list []obj
	_ = s.Read(func(st *state) error { // the function returns none
		for _, box := range sortedByID(st.Containers) {
			if c.user.sees(box.ID) {
				list = append(list, obj{"id": box.ID, "name": box.Name, "parent_id": box.Parent, "is_active": true, "allowed_domain_names": []string{}})
			}
		}
		return nil
	})
	return c.paged("containers", list)
}

// productLimits is GET /container/{id}/product-limits.
func (s *Server) productLimits(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	err = s.Read(func(st *state) error {
		if st.Containers[n] == nil || !c.user.sees(n) {
			return notFound("container")
		}
		return nil
	})
	return ok(obj{"is_limited": false, "product_limits": []obj{}}), err
}

// metadata is GET /account/metadata: the custom fields.
func (s *Server) metadata(*call) (reply, error) {
	list := []obj{}
	_ = s.Read(func(st *state) error { // the function returns none
		for _, m := range st.Metadata {
			list = append(list, obj{"id": m.ID, "label": m.Label, "data_type": m.DataType, "is_required": m.Required, "is_active": m.Active})
		}
		return nil
	})
	return ok(obj{"metadata": list}), nil
}

// balance is GET /finance/balance.
//
// Unconfirmed: path and shape of the balance.
func (s *Server) balance(c *call) (reply, error) {
	if r := c.user.Role; r != Administrator && r != Manager && r != FinanceManager {
		return reply{}, notPermitted("see the balance")
	}
	var body obj
	err := s.Read(func(st *state) error {
		body = obj{"balance": money(st.Balance), "currency": "USD", "unpaid_invoice_balance": money(0), "total_balance": money(st.Balance)}
		return nil
	})
	return ok(body), err
}

func money(cents int64) string { return fmt.Sprintf("%.2f", float64(cents)/100) }

// postAuthKey is POST /account/auth-key and /account/auth-key/{days}.
func (s *Server) postAuthKey(c *call) (reply, error) {
	var expires time.Time
	if text := c.r.PathValue("days"); text != "" {
		days, err := strconv.ParseInt(text, 10, 32)
		if err != nil || days < 1 {
			return reply{}, fail(http.StatusBadRequest, "invalid_value:validity", "the lifetime must be a day at least")
		}
		expires = c.now.Add(time.Duration(days) * s.Day())
	}
	k := &authKey{ID: sandbox.RandomValue(12), Key: sandbox.RandomValue(64), Expires: expires}
	err := s.Change(c.now, func(st *state) error {
		if !c.user.approves() {
			return notPermitted("make AuthKeys")
		}
		if expires.IsZero() && st.authKey("", c.now) != nil {
			return fail(http.StatusBadRequest, "auth_key_exists_for_account", "The account has an AuthKey.")
		}
		st.AuthKeys = append(st.AuthKeys, k)
		return nil
	})
	body := obj{"auth_key_id": k.ID, "auth_key": k.Key}
	if !expires.IsZero() {
		body["expiration_datetime"] = stamp(expires)
	}
	return reply{status: http.StatusCreated, body: body}, err
}

// getAuthKeys is GET /account/auth-key.
//
// Unconfirmed: path and shape of the AuthKeys' details.
func (s *Server) getAuthKeys(c *call) (reply, error) {
	list := []obj{}
	err := s.Read(func(st *state) error {
		if !c.user.approves() {
			return notPermitted("see AuthKeys")
		}
		for _, k := range st.AuthKeys {
			v := obj{"auth_key_id": k.ID, "auth_key": k.Key}
			if !k.Expires.IsZero() {
				v["expiration_datetime"] = stamp(k.Expires)
			}
			list = append(list, v)
		}
		return nil
	})
	return ok(obj{"auth_keys": list}), err
}

// putAutoReissue is PUT /order/certificate/{id}/auto-reissue.
func (s *Server) putAutoReissue(c *call) (reply, error) {
	n, err := c.number("id")
	if err != nil {
		return reply{}, err
	}
	var b struct {
		AutoReissue int64 `json:"auto_reissue"`
	}
	if err := c.decode(&b, s.settings().Strict, sandbox.Required(sandbox.ZeroOrOne("auto_reissue"))); err != nil {
		return reply{}, err
	}
	err = s.Change(c.now, func(st *state) error {
		o := st.order(c.user, n)
		if o == nil {
			return orderNotFound()
		}
		o.AutoReissue = b.AutoReissue
		return nil
	})
	return reply{status: http.StatusNoContent}, err
}
