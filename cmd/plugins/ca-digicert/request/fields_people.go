package request

import (
	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca/fields"
)

// peopleFields are the organization and who answers for it.
func peopleFields() []fields.Field {
	return []fields.Field{
		{Name: "organization_contact", Type: pluginapi.Table, In: onHint, Help: "Contact of the organization for this order; left out: the organization's own.",
			Fields: contactFields(onHint, "holds a digit")},
		{Name: "technical_contact", Type: pluginapi.Table, In: onHint | onDV, Help: "Technical contact for this order; left out: the organization's own.",
			Rule: "DV products want its `telephone` too", Fields: contactFields(onHint|onDV, "holds a digit; needed for DV products")},
		{Name: "organization", Type: pluginapi.Table, In: onHint, Help: "Organization the certificate names; left out: the account setting organization_id.",
			Rule: "needed for all but DV products, refused for those",
			Fields: []fields.Field{
				// The page has it optional, for an order may describe a new organization in its place. One that is made on
				// the side has to be validated first and may double another; certbridged wants the number.
				{Name: "id", Type: pluginapi.Integer, In: onHint, Test: fields.AtLeast(1), Help: "Number of the organization.", Rule: "positive; needed"},
				{Name: "contacts", Type: pluginapi.List, In: onHint, Help: "Further contacts, for example who approves EV certificates.", Rule: "its keys are not on the order pages", Fields: organizationContactFields()},
				{Name: "skip_duplicate_org_check", Type: pluginapi.Boolean, In: onHint, Default: false, Help: "Make a new organization even if it resembles one of the account.", Rule: "`true` is warned about: it does nothing beside `id`"},
			}},
	}
}

func contactFields(on fields.Calls, telephoneRule string) []fields.Field {
	return []fields.Field{
		{Name: "first_name", Type: pluginapi.String, Required: true, In: on, Test: fields.Line, Help: "First name."},
		{Name: "last_name", Type: pluginapi.String, Required: true, In: on, Test: fields.Line, Help: "Last name."},
		{Name: "email", Type: pluginapi.String, Required: true, In: on, Test: fields.Email, Help: "E-mail address.", Rule: "an e-mail address"},
		{Name: "job_title", Type: pluginapi.String, In: on, Test: fields.Line, Help: "Job title."},
		{Name: "telephone", Type: pluginapi.String, In: on, Test: fields.Telephone, Help: "Telephone number.", Rule: telephoneRule},
		{Name: "telephone_extension", Type: pluginapi.String, In: onHint, Test: fields.Line, Help: "Extension of the telephone number."},
	}
}

// Not confirmed by DigiCert's pages: the keys. They name the object and point to another page for what is in it; these
// keys are those that contacts have elsewhere in the API.
func organizationContactFields() []fields.Field {
	return []fields.Field{
		{Name: "contact_type", Type: pluginapi.String, In: onHint, Test: fields.Word, Help: `Role, for example "ev_approver".`, Rule: "letters, digits and `_`"},
		{Name: "user_id", Type: pluginapi.Integer, In: onHint, Test: fields.AtLeast(1), Help: "Number of a user of the account.", Rule: "positive"},
		{Name: "first_name", Type: pluginapi.String, In: onHint, Test: fields.Line, Help: "First name."},
		{Name: "last_name", Type: pluginapi.String, In: onHint, Test: fields.Line, Help: "Last name."},
		{Name: "email", Type: pluginapi.String, In: onHint, Test: fields.Email, Help: "E-mail address.", Rule: "an e-mail address"},
		{Name: "job_title", Type: pluginapi.String, In: onHint, Test: fields.Line, Help: "Job title."},
		{Name: "telephone", Type: pluginapi.String, In: onHint, Test: fields.Telephone, Help: "Telephone number.", Rule: "holds a digit"},
		{Name: "telephone_extension", Type: pluginapi.String, In: onHint, Test: fields.Line, Help: "Extension of the telephone number."},
	}
}
