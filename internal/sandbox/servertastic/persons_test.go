package servertastic

import (
	"net/http"
	"testing"
	"time"

	"github.com/certbridge/certbridged/internal/sandbox"
)

func TestCancel(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	start := r.s.Points()
	unplaced := r.bought("RapidSSL-12")
	if r.s.Points() != start-10 {
		t.Errorf("%d points", r.s.Points())
	}
	r.ok("order/cancel", form{"order_token": unplaced})
	r.ok("order/cancel", form{"order_token": unplaced})
	if v := r.review(unplaced); v["order_status"] != statusCancelled || r.s.Points() != start || r.count(sandbox.Refund) != 1 {
		t.Errorf("not placed: %v, %d points", v["order_status"], r.s.Points())
	}
	r.refused(400, "order/place", r.placement(unplaced, "example.com"))

	waiting := r.bought("RapidSSL-12")
	r.ok("order/place", r.placement(waiting, "example.com"))
	r.ok("order/cancel", form{"order_token": waiting})
	if v := r.review(waiting); v["order_status"] != statusCancelled || v["certificate_list"] != nil || r.s.Points() != start {
		t.Errorf("waiting: %v", v)
	}
	r.refused(400, "order/pollauth", form{"order_token": waiting})

	issued := r.issued("RapidSSL-12", "example.org")
	r.ok("order/cancel", form{"order_token": issued})
	if v := r.review(issued); v["order_status"] != statusCompleted || r.s.Points() != start-10 {
		t.Errorf("issued: %v", v["order_status"])
	}
	r.refused(400, "order/reissue", form{"order_token": issued, "csr": csrFor(t, newKey(t), "example.org")})
	r.direct(http.StatusNoContent, "POST", "orders/"+r.order(issued).ID+"/approve-cancel", "")
	if v := r.review(issued); v["order_status"] != statusCancelled || r.s.Points() != start || r.count(sandbox.Revoke) != 1 || !r.order(issued).Certificates[0].Revoked {
		t.Errorf("approved: %v", v["order_status"])
	}
	r.direct(400, "POST", "orders/"+r.order(issued).ID+"/approve-cancel", "")

	old := r.issued("RapidSSL-12", "example.net")
	r.advance(31 * day)
	r.refused(400, "order/cancel", form{"order_token": old})

	// An order for a name whose order was cancelled waits for the CA's review.
	again := r.bought("RapidSSL-12")
	r.ok("order/place", r.placement(again, "example.com"))
	if v := r.prove(again); v["order_status"] != statusQueued {
		t.Errorf("after a cancelled order: %v", v["order_status"])
	}
	r.advance(8 * time.Hour)
	if v := r.review(again); v["order_status"] != statusCompleted {
		t.Errorf("after the review: %v", v["order_status"])
	}
}

func TestVetting(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("TrueBizID-12")
	r.ok("order/place", r.placement(token, "example.com"))
	if v := r.prove(token); v["order_status"] != statusVetting || v["organisation_info"].(obj)["name"] != "Example" {
		t.Errorf("proven: %v", v)
	}
	r.direct(http.StatusNoContent, "POST", "orders/"+r.order(token).ID+"/vet", "")
	v := r.review(token)
	list := leaves(t, v)
	if v["order_status"] != statusCompleted || len(list) != 1 || list[0].Subject.Organization[0] != "Example" {
		t.Errorf("vetted: %v", v)
	}
	if err := r.s.Configure(func(s *Settings) { s.VetDelay = sandbox.Delay(day) }); err != nil {
		t.Fatal(err)
	}
	other := r.bought("TrueBizIDEV-12")
	r.ok("order/place", r.placement(other, "example.org"))
	r.prove(other)
	r.advance(day)
	if v := r.review(other); v["order_status"] != statusCompleted {
		t.Errorf("a day later: %v", v["order_status"])
	}
	dv := r.issued("RapidSSL-12", "example.net")
	r.direct(400, "POST", "orders/"+r.order(dv).ID+"/vet", "")
}

func TestStatusesThatOthersSet(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	token := r.bought("RapidSSL-12")
	at := "orders/" + r.order(token).ID
	r.direct(400, "POST", at+"/status", `{"status":"Queued"}`)
	r.ok("order/place", r.placement(token, "example.com"))
	r.direct(http.StatusNoContent, "POST", at+"/status", `{"status":"Queued"}`)
	r.prove(token)
	for _, status := range []string{statusQueued, statusHeld, statusVetting, "Something Else"} {
		r.direct(http.StatusNoContent, "POST", at+"/status", `{"status":"`+status+`","info":"wait"}`)
		if v := r.review(token); v["order_status"] != status || v["order_state_further_info"] != "wait" || len(leaves(t, v)) > 0 {
			t.Errorf("%s: %v", status, v)
		}
	}
	r.direct(400, "POST", at+"/status", `{"status":"Completed"}`)
	r.direct(http.StatusNoContent, "POST", at+"/release", "")
	if v := r.review(token); v["order_status"] != statusCompleted {
		t.Errorf("released: %v", v["order_status"])
	}
	r.direct(400, "POST", at+"/release", "")
	back := r.bought("RapidSSL-12")
	r.ok("order/place", r.placement(back, "example.org"))
	points := r.s.Points()
	r.direct(http.StatusNoContent, "POST", "orders/"+r.order(back).ID+"/status", `{"status":"Roll Back"}`)
	if v := r.review(back); v["order_status"] != statusRollBack || r.s.Points() != points+10 {
		t.Errorf("rolled back: %v", v["order_status"])
	}
	r.direct(400, "POST", "orders/"+r.order(back).ID+"/status", `{"status":"Queued"}`)
}
