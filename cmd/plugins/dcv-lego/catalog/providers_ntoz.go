package catalog

import "maps"

// What several providers from n to z have in common.
const (
	replacesAll = "publishing replaces all TXT records of the name by its own"
	removesLast = "withdrawing removes the only TXT record of the name whatever its value, so another's when its own is gone already"
	setsTTL     = "sets the TTL of all TXT records of the name to its own and leaves it so"
	zoneByCert  = "looks up the zone by the certificate's domain, so a record that was delegated into another zone fails"
	valueAlone  = "finds the record to remove by its value alone: one value must not stand at two names of a zone"
	twoLabels   = "takes the last two labels of the name for the zone, so it fails below names such as co.uk and in delegated zones"
	allTypes    = "withdrawing removes all records of the name, of every type, and not only its own TXT record"
)

// providersNToZ are the providers from n to z.
func providersNToZ() map[string]Provider {
	all := providersN()
	for _, part := range []map[string]Provider{providersOToR(), providersS(), providersTToU(), providersV(), providersWToZ()} {
		maps.Copy(all, part)
	}
	return all
}

func providersN() map[string]Provider {
	return map[string]Provider{
		"namecheap": {
			NotLiteral: "puts _acme-challenge before every name, and takes the certificate's domain for it",
			NoApex:     "puts _acme-challenge before every name",
			Overwrites: removesAll,
			State:      FindsByName,
			Note: "asks a service of Namecheap for its own address as soon as it is made; writes the whole zone anew at each change: " +
				"what another program changes in the same moment is lost",
		},
		"namedotcom": {
			NoApex:     apexRefused,
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       "takes the certificate's domain for the name of the zone; the TTL must be 300 seconds at least",
		},
		"namesilo": {NoApex: apexRefused, State: FindsByValue, Concurrent: true, Note: "the TTL must be 3600 seconds at least"},
		"namesurfer": {
			NoApex: apexRefused,
			State:  FromReceipt,
			Note: "finds the record to remove by its value among all that the search for its name brings: " +
				"one value must not stand at two names of which one ends with the other",
		},
		"nearlyfreespeech": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   "withdrawing takes the certificate's domain for the zone, so it fails when the domain is not the zone's own name",
		},
		"neodigit": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"netcup": {
			NoApex: "puts a record for the zone's own name under a wrong name",
			State:  FindsByValue,
			Note: valueAlone + "; sends all records of the zone at each publishing: " +
				"what another program changes in the same moment is lost",
		},
		"netlify": {State: FromReceipt, Concurrent: true},
		"netnod":  {State: FindsByValue, Concurrent: true},
		"nicmanager": {
			State:      FindsByValue,
			Concurrent: true,
			Note:       "withdrawing reports an error even when it has removed the record; the TTL must be 900 seconds at least",
		},
		"nicru": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   logsIn + "; " + publishesAll + "; publishing twice makes two records, and withdrawing removes both",
		},
		"nifcloud": {
			Overwrites: "publishing creates a record set of its value alone and withdrawing removes it: what the service does to other values is in doubt",
			State:      FindsByValue,
			Note:       "each call waits until the change is in use, two minutes at most; the TTL must not change between publishing and withdrawing",
		},
		"njalla": {
			NoApex:     "leaves the name out of its request, and what the service makes of that is in doubt",
			State:      FromReceipt,
			Concurrent: true,
			Note:       twoLabels,
		},
		"nodion": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"ns1":    {Overwrites: removesAll, State: FindsByName},
	}
}

func providersOToR() map[string]Provider {
	return map[string]Provider{
		"octenium": {
			State: FromReceipt,
			Note:  "removes by the number of the line in the zone: when another program changes the zone in the same moment, the wrong record may go",
		},
		"onecloudru":  {NoApex: apexRefused, State: FromReceipt, Concurrent: true, Note: "the TTL is rounded up to one of the service's steps"},
		"onlinenet":   {NoApex: apexRefused, State: FindsByValue},
		"oraclecloud": {State: FindsByValue},
		"otc": {
			NoApex:     "searches for the record set by its name, which every name of the zone ends with, and withdraws nothing when it finds several",
			Overwrites: removesAll + ", or of a longer name that the search brings alone; publishing makes a record set of its value alone",
			State:      FindsByName,
			Note:       "the TTL must be 300 seconds at least",
		},
		"ovh": {NoApex: apexRefused, State: FromReceipt, Note: publishesAll},
		"pdns": {
			State: FindsByValue,
			Note: setsTTL + "; fails to publish a value that is there already; asks the server for its API version as soon as it is made " +
				"unless PDNS_API_VERSION is set, and where it gets none, for a wrong key, its errors say 404 Not Found; with PowerDNS 3 only the first of several other values survives",
		},
		"plesk":   {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"porkbun": {NoApex: apexRefused, State: FromReceipt, Concurrent: true, Note: "the TTL must be 300 seconds at least"},
		"rackspace": {
			Overwrites: removesLast + "; it fails when the name has several",
			State:      FindsByName,
			Note:       logsIn,
		},
		"rainyun": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note: "finds the record to remove by its value and the beginning of its name: one value must not stand at two names of a zone; " +
				"looks at the first 100 records of the zone and the first 100 zones only",
		},
		"rcodezero": {
			NotLiteral: "uses the part of the API that is made for ACME, whose tokens are good for ACME's record only",
			NoApex:     "the API is made for ACME's record",
			Overwrites: replacesAll + ", and " + removesAll,
			State:      FindsByName,
		},
		"regfish": {State: FromReceipt, Concurrent: true},
		"regru":   {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"rfc2136": {
			Aliases:    []string{"dnsupdate"},
			Overwrites: replacesAll,
			State:      FindsByValue,
			Note:       "the plugin rfc2136 speaks the same protocol and leaves other records as they are",
		},
		"rimuhosting": {
			Overwrites: "publishing writes the other values of the name anew from what it read, with its own TTL: whether all survive is in doubt",
			State:      FindsByValue,
		},
		"route53": {State: FindsByValue, Note: setsTTL},
	}
}
