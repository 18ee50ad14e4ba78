package digicert

import (
	"context"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// tellCAA adds what DigiCert says of the names' CAA records to an order that waits for nothing else: it issues nothing
// that they forbid, and says so only when asked.
func (s *session) tellCAA(ctx context.Context, v *view, out *pluginapi.Order) {
	messages, err := s.client.CAAStatus(ctx, v.id)
	if err != nil {
		s.log.Debug("the CAA status of an order cannot be read", "order", v.id, "error", err)
		return
	}
	var bad []string
	for _, m := range messages {
		if caaFails(m.Message) {
			bad = append(bad, restca.Clean(m.Name+": "+m.Message, 200))
		}
	}
	if len(bad) == 0 {
		return
	}
	words := strings.Join(bad, "; ")
	out.Detail = fmt.Sprintf("the names of order %s are validated, but their CAA records keep DigiCert from issuing: %s", v.id, words)
	out.Action = &pluginapi.PersonAction{
		Who: "whoever runs the DNS of the names", What: "let the names' CAA records allow digicert.com (" + words + ")",
		URL: s.client.Console("orders/" + v.id.String()),
	}
}

// caaFails reports whether a message about CAA records is a bad one.
// (Not confirmed by DigiCert's pages: their list, which this was written without. What is not known to be bad is not told.)
func caaFails(message string) bool {
	text := strings.ToLower(strings.ReplaceAll(message, "_", " "))
	for _, word := range []string{"fail", "not found", "error", "denied", "forbid", "not allow", "not permit", "not authori", "timeout", "timed out", "unable", "could not"} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
