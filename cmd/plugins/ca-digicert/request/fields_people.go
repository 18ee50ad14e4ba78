package request

import "github.com/certbridge/certbridged/pkg/pluginapi"

// peopleFields are the organization and who answers for it.
func peopleFields() []field {
	return []field{
		{name: "organization_contact", kind: pluginapi.Table, on: onHint, help: "Contact of the organization for this order; left out: the organization's own.",
			fields: contactFields(onHint, "holds a digit")},
		{name: "technical_contact", kind: pluginapi.Table, on: onHint | onDV, help: "Technical contact for this order; left out: the organization's own.",
			rule: "DV products want its `telephone` too", fields: contactFields(onHint|onDV, "holds a digit; needed for DV products")},
		{name: "organization", kind: pluginapi.Table, on: onHint, help: "Organization the certificate names; left out: the account setting organization_id.",
			rule: "needed for all but DV products, refused for those",
			fields: []field{
				// The page has it optional, for an order may describe a new organization in its place. One that is made on
				// the side has to be validated first and may double another; certbridged wants the number.
				{name: "id", kind: pluginapi.Integer, on: onHint, test: atLeast(1), help: "Number of the organization.", rule: "positive; needed"},
				{name: "contacts", kind: pluginapi.List, on: onHint, help: "Further contacts, for example who approves EV certificates.", rule: "its keys are not on the order pages", fields: organizationContactFields()},
				{name: "skip_duplicate_org_check", kind: pluginapi.Boolean, on: onHint, dflt: false, help: "Make a new organization even if it resembles one of the account.", rule: "`true` is warned about: it does nothing beside `id`"},
			}},
	}
}

func contactFields(on pages, telephoneRule string) []field {
	return []field{
		{name: "first_name", kind: pluginapi.String, required: true, on: on, test: line, help: "First name."},
		{name: "last_name", kind: pluginapi.String, required: true, on: on, test: line, help: "Last name."},
		{name: "email", kind: pluginapi.String, required: true, on: on, test: email, help: "E-mail address.", rule: "an e-mail address"},
		{name: "job_title", kind: pluginapi.String, on: on, test: line, help: "Job title."},
		{name: "telephone", kind: pluginapi.String, on: on, test: telephone, help: "Telephone number.", rule: telephoneRule},
		{name: "telephone_extension", kind: pluginapi.String, on: onHint, test: line, help: "Extension of the telephone number."},
	}
}

// Not confirmed by DigiCert's pages: the keys. They name the object and point to another page for what is in it; these
// keys are those that contacts have elsewhere in the API.
func organizationContactFields() []field {
	return []field{
		{name: "contact_type", kind: pluginapi.String, on: onHint, test: word, help: `Role, for example "ev_approver".`, rule: "letters, digits and `_`"},
		{name: "user_id", kind: pluginapi.Integer, on: onHint, test: atLeast(1), help: "Number of a user of the account.", rule: "positive"},
		{name: "first_name", kind: pluginapi.String, on: onHint, test: line, help: "First name."},
		{name: "last_name", kind: pluginapi.String, on: onHint, test: line, help: "Last name."},
		{name: "email", kind: pluginapi.String, on: onHint, test: email, help: "E-mail address.", rule: "an e-mail address"},
		{name: "job_title", kind: pluginapi.String, on: onHint, test: line, help: "Job title."},
		{name: "telephone", kind: pluginapi.String, on: onHint, test: telephone, help: "Telephone number.", rule: "holds a digit"},
		{name: "telephone_extension", kind: pluginapi.String, on: onHint, test: line, help: "Extension of the telephone number."},
	}
}
