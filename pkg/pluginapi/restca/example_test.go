package restca_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// client speaks the API of a CA that does not exist.
type client struct{ rest *restca.Client }

func newClient(base string, key pluginapi.Secret) (*client, error) {
	rest, err := restca.New(restca.Options{
		BaseURL: base, UserAgent: "certbridged/1.0", Timeout: restca.DefaultTimeout,
		PerSecond: 5, Burst: 10, // documented: 10 calls a second
		Secrets: []pluginapi.Secret{key},
		Dialect: restca.Dialect{
			Sign: func(req *http.Request, _ []byte) error {
				req.Header.Set("Authorization", "Bearer "+key.Reveal())
				return nil
			},
			Problems: problems,
			Judge:    judge,
		},
	})
	if err != nil {
		return nil, err
	}
	return &client{rest}, nil
}

// problems reads {"error": {"code": ..., "message": ...}}, which this API sends with HTTP 200, too.
func problems(_ int, body []byte) []restca.Problem {
	var in struct {
		Error struct {
			Code    restca.Text `json:"code"`
			Message restca.Text `json:"message"`
		} `json:"error"`
	}
	if restca.Decode(body, &in) != nil || in.Error.Code == "" {
		return nil
	}
	return []restca.Problem{{Code: string(in.Error.Code), Message: string(in.Error.Message)}}
}

// judge says what the documented codes mean. What is not documented is judged by the status, which leaves the outcome
// of a purchase open unless the API itself has called the request wrong.
func judge(r *restca.Refusal) restca.Verdict {
	if len(r.Problems) > 0 {
		switch r.Problems[0].Code {
		case "key.unknown":
			return restca.Verdict{Kind: pluginapi.Unauthorized, Field: "api_key", Advice: "; check api_key"}
		case "balance.low":
			return restca.Verdict{Kind: pluginapi.NeedsPerson, Advice: "; add funds, then approve the order"}
		case "ca.busy": // documented: the order may have been taken
			return restca.Verdict{Kind: pluginapi.Unavailable, Doubtful: true}
		}
	}
	return restca.ByStatus(r)
}

// place buys an order. It is sent once.
func (c *client) place(ctx context.Context, body []byte) (id restca.ID, err error) {
	k := restca.Call{Method: http.MethodPost, Path: "orders", Body: body, Once: true}
	err = c.rest.Do(ctx, k, func(a restca.Answer) error {
		id, err = decodeOrder(a.Body)
		return err
	})
	return id, err
}

// find looks for an order by our mark. That there is none must be said, not merely be left open: a second purchase
// would rest on it.
func (c *client) find(ctx context.Context, mark string) (ids []restca.ID, err error) {
	k := restca.Call{Path: "orders", Query: url.Values{"mark": {mark}}}
	err = c.rest.Read(ctx, k, func(a restca.Answer) error {
		var in struct {
			Orders *restca.List[struct {
				ID restca.ID `json:"id"`
			}] `json:"orders"`
		}
		if err := restca.Decode(a.Body, &in); err != nil {
			return err
		}
		if in.Orders == nil {
			return restca.NewGarbage("without a list of orders", a.Body)
		}
		ids = nil
		for _, o := range *in.Orders {
			ids = append(ids, o.ID)
		}
		return nil
	})
	return ids, err
}

func decodeOrder(body []byte) (restca.ID, error) {
	var in struct {
		ID restca.ID `json:"id"`
	}
	if err := restca.Decode(body, &in); err != nil {
		return 0, err
	}
	if in.ID == 0 {
		return 0, restca.NewGarbage("without an order id", body)
	}
	return in.ID, nil
}

// plugin is the part of a pluginapi.CA that spends money.
type plugin struct {
	account restca.Configured[client]
	orders  restca.Gate
}

// PlaceOrder looks whether an earlier call for the same intent has arrived, and buys when none has.
func (p *plugin) PlaceOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	c, err := p.account.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	leave, err := p.orders.Enter(ctx, order.IdempotencyKey)
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	defer leave()
	reply, err := p.FindOrder(ctx, order)
	if pluginapi.KindOf(err) != pluginapi.NotFound {
		return reply, err // it is there, or nobody can say: nothing was sent
	}
	body, err := json.Marshal(map[string]string{"mark": order.IdempotencyKey})
	if err != nil {
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.InvalidRequest, "write the order: %w", err)
	}
	id, err := c.place(ctx, body)
	if err != nil {
		return pluginapi.OrderReply{}, restca.FailOnce("place the order", err)
	}
	return begun(id), nil
}

// FindOrder tells whether a lost call of PlaceOrder has arrived.
func (p *plugin) FindOrder(ctx context.Context, order pluginapi.OrderRequest) (pluginapi.OrderReply, error) {
	c, err := p.account.Get()
	if err != nil {
		return pluginapi.OrderReply{}, err
	}
	ids, err := c.find(ctx, order.IdempotencyKey)
	switch {
	case err != nil:
		return pluginapi.OrderReply{}, restca.Fail("look for the order", err)
	case len(ids) == 0:
		return pluginapi.OrderReply{}, pluginapi.Errorf(pluginapi.NotFound, "there is no order with the mark %s", order.IdempotencyKey)
	default:
		return begun(ids[0]), nil
	}
}

// begun is the whole reply to a purchase: the daemon writes the reference down before anything else is done.
func begun(id restca.ID) pluginapi.OrderReply {
	return pluginapi.OrderReply{Order: pluginapi.Order{
		Reference: id.String(), Status: pluginapi.Processing, LookAgainAfter: pluginapi.After(0),
	}}
}

// A purchase whose answer is lost is found again, and not repeated.
func Example() {
	bought := 0
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			bought++
			panic(http.ErrAbortHandler) // the work is done, and the answer is lost
		case bought == 0:
			fmt.Fprint(w, `{"orders": []}`)
		default:
			fmt.Fprint(w, `{"orders": {"id": "900"}}`) // a list of one, and a number as text
		}
	}))
	defer api.Close()

	c, err := newClient(api.URL, pluginapi.NewSecret("demo-key"))
	if err != nil {
		panic(err)
	}
	defer c.rest.Close()
	p := &plugin{}
	p.account.Set(c)
	intent := pluginapi.OrderRequest{IdempotencyKey: "6b1f7a"}

	_, err = p.PlaceOrder(context.Background(), intent)
	fmt.Println(pluginapi.KindOf(err))
	reply, err := p.FindOrder(context.Background(), intent)
	fmt.Println(reply.Order.Reference, err)
	reply, err = p.PlaceOrder(context.Background(), intent)
	fmt.Println(reply.Order.Reference, err, "bought:", bought)
	// Output:
	// unknown-outcome
	// 900 <nil>
	// 900 <nil> bought: 1
}

// The code that the guide shows is this file's, which runs.
func TestGuideShowsCodeThatRuns(t *testing.T) {
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.FromSlash("../../../docs/rest-ca.md")
	guide, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 4 {
		t.Errorf("the guide shows %d pieces of code", len(blocks))
	}
	for _, b := range blocks {
		if !strings.Contains(string(code), b[1]) {
			t.Errorf("%s shows what example_test.go does not have:\n%s", name, b[1])
		}
	}
}
