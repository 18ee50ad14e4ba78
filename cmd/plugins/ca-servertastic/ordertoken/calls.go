package ordertoken

import (
	"context"
	"net/url"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// call is a GET with the account's key.
func (c *Client) call(path string, values ...string) restca.Call {
	return get(path, append([]string{"api_key", c.key.Reveal()}, values...)...)
}

// callFor is a GET with an order's token.
func callFor(token pluginapi.Secret, path string, values ...string) restca.Call {
	k := get(path, append([]string{"order_token", token.Reveal()}, values...)...)
	k.Secrets = []pluginapi.Secret{token}
	return k
}

func get(path string, pairs ...string) restca.Call {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return restca.Call{Path: path + ".json", Query: query}
}

// read makes a call that changes nothing.
func read[T any](ctx context.Context, c *Client, k restca.Call, decode func([]byte) (T, error)) (T, error) {
	var out T
	err := c.rest.Read(ctx, k, func(a restca.Answer) (err error) {
		out, err = decode(a.Body)
		return err
	})
	return out, err
}

// do makes a call one time.
func do[T any](ctx context.Context, c *Client, k restca.Call, decode func([]byte) (T, error)) (T, error) {
	var out T
	err := c.rest.Do(ctx, k, func(a restca.Answer) (err error) {
		out, err = decode(a.Body)
		return err
	})
	return out, err
}

// GenerateToken buys an order: the call that takes points. It goes out once, on a connection of its own; restca.FailOnce
// tells what its failure means. values are its parameters but the account's key. (Not confirmed by ServerTastic's pages: that
// the points are taken here and not by Place.)
func (c *Client) GenerateToken(ctx context.Context, values url.Values) (Generated, error) {
	k := c.call("order/generatetoken")
	for name, list := range values {
		k.Query[name] = list
	}
	k.Once = true
	return do(ctx, c, k, decodeGenerated)
}

// Place places the order of a token. It goes out once, as GenerateToken does. secrets are those among the values, such as
// the token of an earlier order.
func (c *Client) Place(ctx context.Context, token pluginapi.Secret, values url.Values, secrets ...pluginapi.Secret) (Placed, error) {
	return c.send(ctx, "order/place.json", token, values, secrets...)
}

// Reissue asks for another certificate of an order. It goes out once, as GenerateToken does.
func (c *Client) Reissue(ctx context.Context, token pluginapi.Secret, values url.Values) (Placed, error) {
	return c.send(ctx, "order/reissue.json", token, values)
}

func (c *Client) send(ctx context.Context, path string, token pluginapi.Secret, values url.Values, secrets ...pluginapi.Secret) (Placed, error) {
	all := url.Values{"order_token": {token.Reveal()}}
	for name, list := range values {
		all[name] = list
	}
	k := form(path, all)
	k.Once, k.Secrets = true, append([]pluginapi.Secret{token}, secrets...)
	return do(ctx, c, k, decodePlaced)
}

// Review reads an order. It lags behind the CA by up to five minutes.
func (c *Client) Review(ctx context.Context, token pluginapi.Secret) (Review, error) {
	return read(ctx, c, callFor(token, "order/review"), decodeReview)
}

// ProductFields lists the fields that place takes for an order.
func (c *Client) ProductFields(ctx context.Context, token pluginapi.Secret) ([]FieldSpec, error) {
	return read(ctx, c, callFor(token, "order/productfields"), decodeFields)
}

// PollAuth has the CA look at what is published for an order.
func (c *Client) PollAuth(ctx context.Context, token pluginapi.Secret) (words string, err error) {
	return do(ctx, c, callFor(token, "order/pollauth"), func(body []byte) (string, error) {
		var in struct {
			Status Text `json:"status"`
		}
		err := object(body, &in)
		return string(in.Status), err
	})
}

// Cancel cancels an order. It is safe to repeat. For an order with a certificate it is the beginning alone: the
// administrative contact has to agree.
func (c *Client) Cancel(ctx context.Context, token pluginapi.Secret) error {
	_, err := do(ctx, c, callFor(token, "order/cancel"), func(body []byte) (struct{}, error) {
		return struct{}{}, object(body, &struct{}{})
	})
	return err
}

// Tokens lists the account's tokens, those that were not placed first.
func (c *Client) Tokens(ctx context.Context) (Tokens, error) {
	return read(ctx, c, c.call("order/showtokens"), decodeTokens)
}

// Approvers lists the addresses that may agree to a certificate for a domain.
func (c *Client) Approvers(ctx context.Context, domain string) ([]string, error) {
	return read(ctx, c, get("order/approverlist", "domain_name", domain), decodeApprovers)
}

// Account reads the account's points and orders.
func (c *Client) Account(ctx context.Context) (Account, error) {
	return read(ctx, c, c.call("account/review"), decodeAccount)
}

// PointsAudit reads the account's book of points, which names the token of each order.
func (c *Client) PointsAudit(ctx context.Context) ([]Points, error) {
	return read(ctx, c, c.call("account/pointsaudit"), decodePoints)
}

// Products lists what the account may order.
func (c *Client) Products(ctx context.Context) ([]Product, error) {
	return read(ctx, c, c.call("product/listproducts", "product_group", "SSL"), decodeProducts)
}
