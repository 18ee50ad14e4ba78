package servertastic

import (
	"strconv"
	"strings"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// modifiedOrders is order/modifiedorders: what the reseller has learned since a time. It tells no tokens.
//
// Unconfirmed: that modifiedorders has orders that were not placed.
func (s *Server) modifiedOrders(c *call) (any, error) {
	since, err := time.Parse(stampForm, c.form["date"])
	if err != nil {
		return nil, refuse("date must be written as YYYY-MM-DD HH:MM:SS")
	}
	var list []obj
	var one bool
	err = s.Change(c.now, func(st *state) error {
		one = st.Settings.SingleObject
		for _, o := range st.Orders {
			refresh(o, c.now, &st.Settings)
			if n := min(len(o.Events), o.Shown.Events); n > 0 && !o.Events[n-1].Time.Truncate(time.Second).Before(since) {
				view := reviewed(o, &st.Settings)
				delete(view, "success")
				delete(view, "invite_url") // it holds the token
				list = append(list, view)
			}
		}
		return nil
	})
	return obj{"success": "Modified Orders", "orders": obj{"order": many(list, one)}, "data_accuracy": stamp(c.now)}, err
}

// summary is an order as the lists of the account have it.
//
// Unconfirmed: whether expiry_date in the lists of orders is the certificate's or the order's; the stand-in tells the certificate's.
func summary(o *order, settings *Settings) obj {
	view := obj{
		"reseller_order_id": o.ResellerID, "order_status": knownStatus(o, settings), "order_date": stamp(o.Created), "domain_name": "",
		"order_points": o.Points, "expiry_date": "", "st_product_code": o.Product,
	}
	if o.Shown.Placed {
		view["domain_name"] = o.commonName()
	}
	if list := known(o); len(list) > 0 {
		view["expiry_date"] = stamp(list[len(list)-1].NotAfter)
	}
	return emptied(view, settings)
}

const (
	// expiringDays is how far order/expiring looks, unless it is said.
	expiringDays = 60
	mostExpiring = 3660
)

// expiring is order/expiring, without those that were bought again.
func (s *Server) expiring(c *call) (any, error) {
	days := expiringDays
	if text := c.form["days"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > mostExpiring {
			return nil, refuse("days must be a number")
		}
		days = n
	}
	var list []obj
	var one bool
	err := s.Change(c.now, func(st *state) error {
		one = st.Settings.SingleObject
		renewed := map[string]bool{}
		for _, o := range st.Orders {
			renewed[o.RenewalOf] = true
		}
		for _, o := range st.Orders {
			refresh(o, c.now, &st.Settings)
			issued := known(o)
			if len(issued) == 0 || o.Ended != "" || renewed[o.ResellerID] {
				continue
			}
			if issued[len(issued)-1].NotAfter.Sub(c.now) <= time.Duration(days)*s.Day() {
				list = append(list, summary(o, &st.Settings))
			}
		}
		return nil
	})
	return obj{"success": "Expiring Orders", "orders": obj{"order": many(list, one)}}, err
}

// accountReview is account/review: the points that are left, and the orders.
func (s *Server) accountReview(c *call) (any, error) {
	var answer obj
	err := s.Change(c.now, func(st *state) error {
		var active, completed []obj
		for _, o := range st.Orders {
			refresh(o, c.now, &st.Settings)
			switch view := summary(o, &st.Settings); {
			case view["order_status"] == statusCancelled || view["order_status"] == statusRollBack:
			case len(known(o)) > 0:
				completed = append(completed, view)
			default:
				active = append(active, view)
			}
		}
		answer = obj{
			"success": "Account Review", "purchased_points": st.Points,
			"active_orders":    obj{"active_order": many(active, st.Settings.SingleObject)},
			"completed_orders": obj{"completed_order": many(completed, st.Settings.SingleObject)},
		}
		return nil
	})
	return answer, err
}

// pointsAudit is account/pointsaudit.
func (s *Server) pointsAudit(*call) (any, error) {
	var list []obj
	var one bool
	err := s.Read(func(st *state) error {
		one = st.Settings.SingleObject
		for _, a := range st.Audit {
			o := st.find(a.Order)
			if o == nil {
				continue
			}
			list = append(list, obj{
				"Timestamp": stamp(a.Time), "PointsAdjustment": a.Change, "NewPointsTotal": a.Total, "Description": a.Description,
				"OrderDate": stamp(o.Created), "OrderReference": o.Reference, "OrderToken": o.Token, "Notes": "",
			})
		}
		return nil
	})
	return obj{"success": "Points Audit", "record": many(list, one)}, err
}

// regenerateKey is account/regenerateapikey: the earlier key is worth nothing from now on.
func (s *Server) regenerateKey(c *call) (any, error) {
	var key string
	err := s.Change(c.now, func(st *state) error {
		key = "SANDBOX" + strings.ToUpper(sandbox.RandomValue(32))
		st.Key = key
		return nil
	})
	return obj{"success": "API Key Regenerated", "api_key": key}, err
}

// listProducts is product/listproducts.
func (s *Server) listProducts(c *call) (any, error) {
	settings := s.settings()
	list := []obj{}
	switch c.form["product_group"] {
	case "SSL", "All":
		for _, p := range products() {
			if settings.sells(p) {
				list = append(list, p.view())
			}
		}
	case "SmarterTools":
	default:
		return nil, refuse("product_group must be one of SSL, SmarterTools, All")
	}
	return obj{"success": "List Products", "products": list}, nil
}

func (p product) view() obj {
	return obj{
		"st_product_code": p.Code, "product_name": p.Name, "html_description": "<p>" + p.Name + "</p>", "max_server_count": p.MostServers,
		"min_san_count": p.LeastSANs, "max_san_count": p.MostSANs, "product_validation": p.Validation,
		"base_san_points": p.SANPoints, "product_points": p.Points,
	}
}

// isoCodes is order/isocodes.
func (s *Server) isoCodes(*call) (any, error) {
	list := []obj{}
	for _, c := range countries() {
		list = append(list, obj{"code": c.code, "name": c.name})
	}
	return list, nil
}
