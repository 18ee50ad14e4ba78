package catalog

import "maps"

// What many providers from e to m have in common.
const (
	byValueAlone = "finds the record to remove by its value alone: one value must not stand at two names of a zone"
	nameAnew     = "writes the TXT records of the name anew at each change: what another program changes in the same moment is lost"
	zoneAnew     = "writes the whole zone anew at each change: what another program changes in the same moment is lost"
)

// providersEToM are the providers from e to m.
func providersEToM() map[string]Provider {
	all := providersE()
	maps.Copy(all, providersFToG())
	maps.Copy(all, providersH())
	maps.Copy(all, providersI())
	maps.Copy(all, providersJToL())
	maps.Copy(all, providersM())
	return all
}

func providersE() map[string]Provider {
	return map[string]Provider{
		"easydns": {NoApex: apexRefused, State: FromReceipt},
		"edgecenter": {
			Overwrites: removesAll + "; publishing writes the text of the others anew, with its own TTL",
			State:      FindsByName,
		},
		"edgedns": {
			Aliases: []string{"fastdns"},
			Overwrites: "publishing keeps the others and sets their TTL; withdrawing writes them anew without their quotes: " +
				"what becomes of a value with spaces, such as SPF, is in doubt",
			State: FindsByValue,
			Note:  nameAnew,
		},
		"edgeone":     {State: FromReceipt, Concurrent: true},
		"efficientip": {State: FindsByValue, Concurrent: true, Note: "the TTL is what SOLIDserver gives"},
		"epik":        {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"eurodns": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   zoneAnew + "; the TTL is rounded up, to 600 seconds at least",
		},
		"excedo": {NoApex: apexRefused, State: FromReceipt, Note: "logs in for each call"},
		"exec": {
			Overwrites: "the program that is run decides what becomes of others",
			State:      FindsByValue,
			Note:       "not with EXEC_MODE=RAW, which has no place for a record's name and value",
		},
		"exoscale": {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
	}
}

func providersFToG() map[string]Provider {
	return map[string]Provider{
		"f5xc": {
			NoApex:     apexRefused,
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       "sees the records of the group in F5XC_GROUP_NAME alone",
		},
		"freemyip": {
			NoApex:     apexRefused,
			Overwrites: "a name holds one value: publishing replaces it, and withdrawing clears it",
			State:      FindsByName,
			Note:       "publishes below freemyip.com alone",
		},
		"gandi": {
			NotLiteral: "puts a copy of the whole zone in its place and can so publish one record at a time; take gandiv5",
			NoApex:     apexRefused,
			Overwrites: "withdrawing brings back the zone as it was before publishing: what was changed since then is lost",
			State:      FromReceipt,
			Note:       "the TTL is 300 seconds at least",
		},
		"gandiv5": {
			NoApex:     apexRefused,
			Overwrites: removesAll + "; publishing sets the TTL of the others",
			State:      FromReceipt,
			Note:       "the TTL must be 300 seconds at least",
		},
		"gcloud": {
			Overwrites: removesAll + "; publishing removes them and then writes them anew, without quotes: " +
				"a value with spaces, such as SPF, falls into pieces, and when it is cut short between the two steps all are gone",
			State: FindsByName,
			Note:  "without GCE_SERVICE_ACCOUNT it asks the cloud's metadata service as soon as it is made, before the first record",
		},
		"gcore": {
			Overwrites: removesAll + "; publishing writes the text of the others anew, with its own TTL",
			State:      FindsByName,
		},
		"gigahostno": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   "logs in for each call; with GIGAHOSTNO_SECRET, calls within 30 seconds use the same one-time code, which may be refused",
		},
		"glesys": {NoApex: apexRefused, State: FromReceipt, Concurrent: true, Note: "the TTL must be 60 seconds at least"},
		"godaddy": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   nameAnew + "; the TTL must be 600 seconds at least",
		},
		"googledomains": {
			NotLiteral: "the service has shut down, and the provider refuses to start",
			NoApex:     "the service has shut down",
			Overwrites: "the service has shut down",
			State:      FindsByName,
		},
		"gravity": {
			NotLiteral: "removes a record only in the login session that made it, so nothing could be withdrawn later",
			NoApex:     apexRefused,
			Overwrites: "the server answers with the latest TXT record of a name alone: others are not seen meanwhile",
			State:      FromReceipt,
		},
	}
}

func providersH() map[string]Provider {
	return map[string]Provider{
		"hetzner": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note: "beside other TXT records of the name, the TTL must be theirs; " +
				"with HETZNER_API_KEY, the old API, it must be 60 seconds at least",
		},
		"hostingde": {
			State: FindsByValue,
			Note:  "waits up to five minutes while an earlier change of the zone is carried out; with HOSTINGDE_ZONE_NAME it serves that zone alone",
		},
		"hostinger": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   "sets the TTL of other TXT records of the name; " + nameAnew,
		},
		"hostingnl": {State: FromReceipt, Concurrent: true},
		"hosttech":  {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"httpnet": {
			State: FindsByValue,
			Note:  "waits up to five minutes while an earlier change of the zone is carried out; with HTTPNET_ZONE_NAME it serves that zone alone",
		},
		"httpreq": {
			Overwrites: "the server that is called decides what becomes of others",
			State:      FindsByValue,
			Note:       "not with HTTPREQ_MODE=RAW, which has no place for a record's name and value",
		},
		"huaweicloud": {
			Overwrites: "publishing keeps the others; " + removesAll,
			State:      FromReceipt,
			Note:       nameAnew,
		},
		"hurricane": {
			NotLiteral: "takes the key of a record by its name without _acme-challenge, and needs a dynamic TXT record made beforehand",
			NoApex:     "needs a dynamic TXT record made beforehand",
			Overwrites: "a dynamic TXT record holds one value: publishing replaces it",
			State:      FindsByName,
			Note:       "withdrawing leaves a record with a dot as its value",
		},
		"hyperone": {
			State: FindsByValue,
			Note:  "withdrawing the last value of a name removes the record set: a value that another program adds in the same moment goes too",
		},
	}
}

func providersI() map[string]Provider {
	return map[string]Provider{
		"ibmcloud": {
			NoApex:     "does not find the record again to withdraw it when the API lists the zone's own name as @, which is in doubt",
			Overwrites: "withdrawing removes the last TXT record of the name that it finds, whatever its value",
			State:      FindsByName,
			Note:       "looks up the zone by the certificate's domain, so a record that was delegated into another zone fails",
		},
		"iij": {
			NotLiteral: "publishes at _acme-challenge below the certificate's domain alone",
			NoApex:     "publishes at _acme-challenge alone",
			State:      FindsByValue,
			Note:       publishesAll,
		},
		"iijdpf": {
			Overwrites: "when the name holds a single value, withdrawing removes it without looking whether it is its own",
			State:      FindsByValue,
			Note:       publishesAll + "; serves the zone of IIJ_DPF_DPM_SERVICE_CODE alone",
		},
		"infoblox":   {State: FromReceipt, Concurrent: true, Note: "publishes in the DNS view External unless INFOBLOX_DNS_VIEW names another"},
		"infomaniak": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"internetbs": {State: FindsByValue, Concurrent: true, Note: "withdrawing names the TTL too, so the setting must not change in between"}, //nolint:misspell // its name
		"inwx": {
			State: FindsByValue,
			Note:  "logs in for each call; with INWX_SHARED_SECRET, a second call within 30 seconds uses the same one-time code and is refused",
		},
		"ionos": {
			State: FindsByValue,
			Note: "publishing writes the TXT records of the name and of all names below it anew: what another program changes in the same " +
				"moment is lost; the TTL must be 300 seconds at least",
		},
		"ionoscloud": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"ipv64": {
			NoApex:     "asks for a record with an empty prefix, and whether the API takes it is in doubt",
			State:      FindsByValue,
			Concurrent: true,
			Note:       "takes the last three labels of the name for the domain, as they are below ipv64.net; others fail",
		},
		"ispconfig": {State: FromReceipt, Note: "logs in for each call"},
		"ispconfigddns": {
			State: FindsByValue,
			Note:  "the value must have 255 characters at most; the TTL is 3600 seconds; the token must be allowed TXT records at the name",
		},
		"iwantmyname": {
			NotLiteral: "the service's API has shut down, and the provider refuses to start",
			NoApex:     "the service's API has shut down",
			Overwrites: "the service's API has shut down",
			State:      FindsByName,
		},
	}
}

func providersJToL() map[string]Provider {
	return map[string]Provider{
		"jdcloud": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"joker": {
			NoApex: apexRefused,
			Overwrites: removesAll + "; with JOKER_API_MODE=SVC publishing replaces them; " +
				"else publishing writes the whole zone anew and makes one space of several in any TXT value",
			State: FindsByName,
			Note:  "without JOKER_API_MODE=SVC, it " + zoneAnew,
		},
		"keyhelp": {
			NoApex: apexRefused,
			State:  FromReceipt,
			Note:   zoneAnew + "; " + byValueAlone,
		},
		"leaseweb": {State: FindsByValue, Note: nameAnew},
		"liara": {
			NoApex: apexRefused,
			Overwrites: "the API's records are lists of values: whether it puts a new value into the list of others, " +
				"which withdrawing would then remove, is in doubt",
			State: FromReceipt,
			Note:  "the TTL must be 120 seconds at least",
		},
		"lightsail": {State: FindsByValue, Concurrent: true, Note: "serves the zone in DNS_ZONE alone"},
		"limacity":  {NoApex: apexRefused, State: FromReceipt, Note: byValueAlone},
		"linode": {
			Aliases:    []string{"linodev4"},
			NoApex:     apexRefused,
			State:      FindsByValue,
			Concurrent: true,
			Note:       "the TTL must be 300 seconds at least",
		},
		"liquidweb": {State: FromReceipt, Concurrent: true},
		"loopia": {
			NoApex: apexRefused,
			State:  FromReceipt,
			Note: "withdrawing the last record of a name removes the name: a record that another program adds in the same moment goes too; " +
				"the TTL is 300 seconds at least",
		},
		"luadns": {State: FromReceipt, Concurrent: true, Note: "the TTL must be 300 seconds at least"},
	}
}

func providersM() map[string]Provider {
	return map[string]Provider{
		"mailinabox": {State: FindsByValue, Note: "the machine writes its zones anew at each change"},
		"manageengine": {
			Overwrites: "sets the TTL of the others; when the API lists them in several groups, it writes one group alone, " +
				"and whether the other groups survive is in doubt",
			State: FindsByValue,
			Note:  nameAnew,
		},
		"manual": {
			NotLiteral: "asks a person at a terminal, which a daemon does not have",
			NoApex:     "asks a person at a terminal",
			Overwrites: "the person decides what becomes of others",
			State:      FindsByName,
		},
		"metaname":      {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"metaregistrar": {State: FindsByValue, Concurrent: true, Note: "withdrawing names the TTL too, so the setting must not change in between"},
		"mijnhost": {
			NoApex:     apexRefused,
			Overwrites: "publishing removes the other TXT records of the name",
			State:      FindsByValue,
			Note: zoneAnew + "; " + byValueAlone +
				"; looks up the zone by the certificate's domain, so a record that was delegated into another zone fails",
		},
		"mittwald": {
			Overwrites: "publishing replaces all TXT records of the name by its own; " + removesAll,
			State:      FromReceipt,
			Note:       "makes a zone of its own for each name below the domain and leaves it there; the TTL must be 300 seconds at least",
		},
		"myaddr": {
			NotLiteral: "publishes at _acme-challenge below the configured names alone",
			NoApex:     "publishes at _acme-challenge alone",
			Overwrites: "what becomes of others at _acme-challenge is left to the service",
			State:      FindsByName,
			Note:       "removes nothing: the service drops the record after a few minutes",
		},
		"mydnsjp": {
			NotLiteral: "publishes at _acme-challenge below the certificate's domain alone",
			NoApex:     "publishes at _acme-challenge alone",
			State:      FindsByValue,
		},
		"mythicbeasts": {NoApex: apexRefused, State: FindsByValue, Concurrent: true, Note: "logs in for each call"},
	}
}
