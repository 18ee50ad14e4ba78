package catalog

import "maps"

// What many providers from a to d have in common.
const (
	apexRefused  = "refuses a name that is the zone's own"
	removesAll   = "withdrawing removes every TXT record of the name"
	removesFirst = "withdrawing removes the first TXT record of the name that it finds, whatever its value"
	logsIn       = "logs in as soon as it is made, before the first record"
	publishesAll = "publishes every change of the zone that waits to be published"
)

// providersAToD are the providers from a to d.
func providersAToD() map[string]Provider {
	all := providersAToB()
	maps.Copy(all, providersC())
	maps.Copy(all, providersD())
	return all
}

func providersAToB() map[string]Provider {
	return map[string]Provider{
		"acme-dns": {
			Aliases:    []string{"acmedns"},
			NotLiteral: "keeps the record in an acme-dns account of the domain, whatever its name, and takes ACME's values only",
			NoApex:     "the record is kept in the acme-dns zone",
			Overwrites: "an acme-dns account holds two values, and the older one goes",
			State:      FindsByName,
			Note:       "removes nothing: the last values stay in the acme-dns account",
		},
		"active24": {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"alidns": {
			NoApex:     apexRefused,
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       "looks at the first 500 records of the zone only when it withdraws",
		},
		"aliesa":     {State: FromReceipt, Concurrent: true},
		"allinkl":    {NoApex: apexRefused, State: FromReceipt, Note: "the account's flood protection makes calls wait"},
		"alwaysdata": {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"anexia":     {State: FindsByValue, Note: "withdrawing waits up to five minutes for the record to be listed"},
		"artfiles": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   "writes all TXT records of the zone anew at each change: what another program changes in the same moment is lost",
		},
		"arvancloud": {NoApex: apexRefused, State: FromReceipt, Concurrent: true, Note: "the TTL must be 600 seconds at least"},
		"auroradns":  {NoApex: "crashes at a name that is the zone's own", State: FromReceipt, Concurrent: true},
		"autodns":    {State: FindsByValue},
		"axelname": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   valueAlone,
		},
		"azion": {NoApex: apexRefused, State: FindsByValue, Note: "publishing sets the TTL of the whole record set"},
		"azure": {
			NoApex:     apexRefused,
			Overwrites: removesAll + "; publishing keeps only the first string of other values made of several",
			State:      FindsByName,
			Note:       "lego has replaced it by azuredns and asks for LEGO_AZURE_BYPASS_DEPRECATION=true",
		},
		"azuredns": {
			NoApex:     apexRefused,
			Overwrites: removesAll + "; publishing keeps only the first string of other values made of several",
			State:      FindsByName,
			Note:       "asks Azure for all zones as soon as it is made, before the first record",
		},
		"baiducloud": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   valueAlone,
		},
		"beget": {
			NotLiteral: "writes the TXT records of the name anew, and the API may then drop the name's A and MX records",
			NoApex:     "the API may drop the zone's own A and MX records",
			Overwrites: "writes the TXT records of the name anew from what it read: whether the others survive is in doubt",
			State:      FindsByValue,
		},
		"binarylane": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"bindman": {
			Overwrites: "withdrawing removes the TXT records of the name; what publishing does to them is left to the Bindman manager",
			State:      FindsByName,
		},
		"bluecat": {
			NoApex:     "puts a record for the zone's own name below the zone, under its first label",
			Overwrites: removesFirst,
			State:      FindsByName,
			Note:       "the value must not have a vertical bar; deploys the zone at each change",
		},
		"bluecatv2":  {NoApex: apexRefused, State: FromReceipt, Note: "deploys the zone at each change"},
		"bookmyname": {State: FindsByValue, Concurrent: true, Note: "withdrawing names the TTL too, so the setting must not change in between"},
		"brandit": {
			NoApex:     apexRefused,
			Overwrites: "withdrawing a record that is gone already points at the first record of the zone: what the API then does is in doubt",
			State:      FromReceipt,
		},
		"bunny": {NoApex: apexRefused, Overwrites: removesFirst, State: FindsByName, Note: "the TTL must be 60 seconds at least"},
	}
}

func providersC() map[string]Provider {
	return map[string]Provider{
		"checkdomain": {
			NoApex: "does not find the record again to withdraw it",
			State:  FindsByValue,
			Note: zoneByCert + "; withdrawing writes the whole zone anew without the records at the zone's own name, " +
				"and whether the service keeps those is in doubt",
		},
		"civo": {NoApex: apexRefused, State: FindsByValue, Concurrent: true, Note: "the TTL is 600 seconds at least"},
		"clouddns": {
			Overwrites: removesFirst,
			State:      FindsByName,
			Note:       publishesAll + ", and sets the TTL of its SOA record",
		},
		"cloudflare": {
			State:      FromReceipt,
			Concurrent: true,
			Note:       "the TTL must be 120 seconds at least; a removal that fails is logged and not reported",
		},
		"cloudns": {
			NoApex:     apexRefused,
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       "publishing waits until ClouDNS has updated all its name servers, for CLOUDNS_PROPAGATION_TIMEOUT at most",
		},
		"cloudru": {
			Overwrites: removesAll + "; what publishing does to other values is in doubt",
			State:      FromReceipt,
		},
		"cloudxns": {
			NotLiteral: "the service has shut down, and the provider refuses to start",
			NoApex:     "the service has shut down",
			Overwrites: "the service has shut down",
			State:      FindsByName,
		},
		"com35":    {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"conoha":   {State: FindsByValue, Concurrent: true, Note: logsIn},
		"conohav3": {State: FindsByValue, Concurrent: true, Note: logsIn},
		"constellix": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   "writes the values of the name anew at each change",
		},
		"corenetworks": {NoApex: apexRefused, State: FindsByValue, Note: publishesAll},
		"cpanel": {
			State: FindsByValue,
			Note: "finds records by their value alone, at whatever name of the zone: one value must not stand at two names, " +
				"and publishing a value that is there already spoils its record",
		},
		"czechia": {NoApex: apexRefused, State: FindsByValue, Concurrent: true, Note: "withdrawing names the TTL too, so the setting must not change in between"},
	}
}

func providersD() map[string]Provider {
	return map[string]Provider{
		"ddnss": {
			Overwrites: "a host has one TXT value: publishing replaces it and withdrawing removes it",
			State:      FindsByName,
			Note:       "the name must be a host that the account may update",
		},
		"derak": {
			NoApex:     apexRefused,
			State:      FromReceipt,
			Concurrent: true,
			Note:       "takes the first zone that the name ends with, even inside of a label: set DERAK_WEBSITE_ID",
		},
		"desec": {NoApex: apexRefused, State: FindsByValue, Note: "writes the values of the name anew at each change"},
		"designate": {
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       logsIn,
		},
		"digitalocean": {State: FromReceipt, Concurrent: true},
		"directadmin":  {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"dnsexit": {
			NoApex:     apexRefused,
			Overwrites: "withdrawing names type, name and value: whether the API heeds the value or removes every TXT record of the name is in doubt",
			State:      FindsByValue,
			Note:       "the TTL is rounded up to minutes",
		},
		"dnshomede": {
			NotLiteral: "the service holds ACME's record of a host and no other name",
			NoApex:     "the service holds ACME's record only",
			Overwrites: "a host has one value: publishing replaces it and withdrawing removes it",
			State:      FindsByName,
			Note:       "a value must have 12 characters at least",
		},
		"dnsimple": {NoApex: apexRefused, Overwrites: removesAll, State: FindsByName, Note: "needs the token of an account, not of a user"},
		"dnsmadeeasy": {
			NoApex:     "puts a record for the zone's own name under a wrong name",
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       "does not check the TLS certificate of the API",
		},
		"dnspod": {
			NotLiteral: allTypes,
			NoApex:     allTypes,
			Overwrites: allTypes,
			State:      FindsByName,
		},
		"dode": {
			NoApex:     "the API is made for ACME's record, and whether it takes the zone's own name is in doubt",
			Overwrites: "withdrawing removes the TXT record of the name whatever its value, and whether publishing keeps other values is in doubt",
			State:      FindsByName,
			Note:       "the API is made for ACME's record, and whether it takes other names is in doubt",
		},
		"domeneshop": {Aliases: []string{"domainnameshop"}, NoApex: apexRefused, State: FindsByValue, Concurrent: true, Note: "the TTL is always 300 seconds"},
		"dreamhost":  {State: FindsByValue, Concurrent: true, Note: "records take up to an hour to be seen"},
		"duckdns": {
			Overwrites: "a duckdns.org name and all names below it share one TXT value: publishing replaces it and withdrawing removes it",
			State:      FindsByName,
			Note:       "the value is seen at the duckdns.org name and at every name below it",
		},
		"dyn": {Overwrites: removesAll, State: FindsByName, Note: publishesAll},
		"dyndnsfree": {
			NoApex:     "the API is made for ACME's record, and whether it takes the zone's own name is in doubt",
			Overwrites: "what becomes of other values is left to the service",
			State:      FindsByName,
			Note:       "removes nothing: the service removes the record by itself; whether it takes other names than ACME's is in doubt",
		},
		"dynu": {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
	}
}
