package catalog

func providersS() map[string]Provider {
	return map[string]Provider{
		"safedns": {State: FromReceipt, Concurrent: true},
		"sakuracloud": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note:   "writes the whole zone anew at each change, with the hash of what it read, so that the service can refuse when that changed in between",
		},
		"scaleway": {
			NoApex:     "names zone and record alike by the record's name, and what the service makes of the zone's own name is in doubt",
			State:      FindsByValue,
			Concurrent: true,
			Note:       "the TTL is 60 seconds at least",
		},
		"selectel": {
			NotLiteral: allTypes,
			NoApex:     allTypes,
			Overwrites: allTypes,
			State:      FindsByName,
			Note:       zoneByCert + "; the TTL must be 60 seconds at least",
		},
		"selectelv2": {Overwrites: removesLast, State: FindsByName, Note: zoneByCert},
		"selfhostde": {
			NotLiteral: "writes into records that were made beforehand and are listed for ACME's name of each domain, and never removes one",
			NoApex:     "writes into records that were made beforehand for ACME's name",
			Overwrites: "publishing replaces the value of a record that was made beforehand, and withdrawing sets it to \"empty\"",
			State:      FromReceipt,
		},
		"servercow": {NoApex: apexRefused, State: FindsByValue, Note: "writes the values of the name anew at each change"},
		"shellrent": {
			NoApex:     apexRefused,
			State:      FromReceipt,
			Concurrent: true,
			Note:       "the TTL is rounded up to one of the service's steps, 3600 seconds at least",
		},
		"simply": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"sonic": {
			Overwrites: "publishing replaces the value of the name by its own, and withdrawing sets it to \"_\"",
			State:      FindsByName,
			Note:       "removes nothing: a TXT record \"_\" stays at the name",
		},
		"spaceship": {
			NoApex:     apexRefused,
			Overwrites: "publishing puts its record by a request that may also replace: whether other values survive is in doubt",
			State:      FindsByValue,
		},
		"stackpath": {
			NoApex:     apexRefused,
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       "takes the registered domain for the zone; a removal that fails is logged and not reported",
		},
		"syse": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
	}
}

func providersTToU() map[string]Provider {
	return map[string]Provider{
		"technitium": {State: FindsByValue, Concurrent: true},
		"tencentcloud": {
			NoApex:     apexRefused,
			Overwrites: removesAll,
			State:      FindsByName,
		},
		"timewebcloud": {
			NoApex:     "gives the zone's own name as that of a subdomain, and what the service makes of that is in doubt",
			State:      FromReceipt,
			Concurrent: true,
			Note:       "the TTL cannot be chosen",
		},
		"todaynic": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"transip":  {NoApex: apexRefused, State: FindsByValue},
		"ucloud":   {State: FindsByValue, Concurrent: true},
		"ultradns": {Overwrites: replacesAll + ", and " + removesAll, State: FindsByName},
		"uniteddomains": {
			State: FindsByValue,
			Note:  "writes the TXT records of the name and of all names that end with it anew at each publishing; the TTL must be 300 seconds at least",
		},
	}
}

func providersV() map[string]Provider {
	return map[string]Provider{
		"variomedia": {NoApex: apexRefused, State: FromReceipt, Note: "each call waits until the service has carried out the change"},
		"vegadns":    {Overwrites: removesFirst, State: FindsByName},
		"vercel": {
			NoApex:     "gives the zone's own name as that of a record in the zone, and what the service makes of that is in doubt",
			State:      FromReceipt,
			Concurrent: true,
		},
		"versio": {
			NotLiteral: allTypes,
			NoApex:     allTypes,
			Overwrites: allTypes,
			State:      FindsByName,
			Note:       "writes the whole zone anew at each change: what another program changes in the same moment is lost",
		},
		"vinyldns": {
			NoApex: apexRefused,
			State:  FindsByValue,
			Note: setsTTL + "; takes the one TXT record set that the service's search for the name brings without a look at its name; " +
				"each call waits until the change is complete",
		},
		"virtualname": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"vkcloud":     {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"volcengine":  {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"vscale": {
			NotLiteral: allTypes,
			NoApex:     allTypes,
			Overwrites: allTypes,
			State:      FindsByName,
			Note:       zoneByCert + "; the TTL must be 60 seconds at least",
		},
		"vultr": {
			NoApex:     apexRefused,
			Overwrites: removesAll,
			State:      FindsByName,
			Note:       zoneByCert,
		},
	}
}

func providersWToZ() map[string]Provider {
	return map[string]Provider{
		"webnames":   {Aliases: []string{"webnamesru"}, NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"webnamesca": {State: FindsByValue, Concurrent: true},
		"websupport": {NoApex: apexRefused, State: FindsByValue, Concurrent: true},
		"wedos":      {NoApex: apexRefused, State: FindsByValue, Note: publishesAll + "; the TTL must be 300 seconds at least"},
		"westcn":     {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"yandex": {
			NoApex:     "leaves the name out of its request, and may not find the record again to withdraw it",
			State:      FindsByValue,
			Concurrent: true,
			Note:       twoLabels,
		},
		"yandex360": {NoApex: apexRefused, State: FromReceipt, Concurrent: true},
		"yandexcloud": {
			NoApex:     apexRefused,
			Overwrites: removesLast,
			State:      FindsByName,
			Note:       setsTTL,
		},
		"zoneedit": {
			State: FindsByValue,
			Note:  "each call waits eleven seconds, as the service wants ten seconds between two",
		},
		"zoneee": {State: FindsByValue, Note: valueAlone},
		"zonomi": {
			Overwrites: "publishing writes the other values of the name anew from what it read, with its own TTL: whether all survive is in doubt",
			State:      FindsByValue,
		},
	}
}
