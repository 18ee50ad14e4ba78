package request_test

import (
	"testing"

	"github.com/certbridge/certbridged/cmd/plugins/ca-servertastic/servertastic"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields/fieldstest"
)

const documentation = "../../../../docs/ca-servertastic.md"

func TestMessagesInTheDocumentationAreReal(t *testing.T) {
	fieldstest.Messages(t, documentation, 40, ".", "../ordertoken", "../servertastic", "../../../../pkg/pluginapi/restca", "../../../../pkg/pluginapi/restca/fields")
}

func TestAccountSettingsAreDocumented(t *testing.T) {
	d, err := servertastic.New(servertastic.Options{}).Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fieldstest.AccountSettings(t, documentation, d.AccountSettings)
}
