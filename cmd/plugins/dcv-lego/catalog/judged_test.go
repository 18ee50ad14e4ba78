package catalog

// judgedLiteral explains hints of literalHints that do not keep a provider from publishing any record.
var judgedLiteral = map[string]string{
	"checkdomain: uses the domain itself":                         "looks up the zone by the domain; the record's name is the challenge's",
	"cloudns: uses the domain itself":                             "only in messages of a function that Present calls",
	"dyndnsfree: CleanUp does not ask for the challenge's record": "CleanUp does nothing, for the service removes records by itself",
	"exec: uses the domain itself":                                "in its raw mode alone, which sends what it is given; in the other mode it asks for the challenge's record",
	"exec: uses the key authorization itself":                     "in its raw mode alone, which sends what it is given; in the other mode it asks for the challenge's record",
	"httpreq: uses the domain itself":                             "in its raw mode alone, which sends what it is given; in the other mode it asks for the challenge's record",
	"httpreq: uses the key authorization itself":                  "in its raw mode alone, which sends what it is given; in the other mode it asks for the challenge's record",
	"huaweicloud: uses the domain itself":                         "only in messages of a function that Present calls",
	"ibmcloud: uses the domain itself":                            "looks up the zone by the domain; the record's name is the challenge's",
	"liquidweb: CleanUp does not ask for the challenge's record":  "CleanUp needs nothing but the record's id",
	"mijnhost: uses the domain itself":                            "looks up the zone by the domain; the record's name is the challenge's",
	"namedotcom: uses the domain itself":                          "takes the domain for the zone's name; the record's name is the challenge's",
	"nearlyfreespeech: uses the domain itself":                    "CleanUp takes the domain for the zone's name; the record's name is the challenge's",
	"selectel: uses the domain itself":                            "looks up the zone by the domain; the record's name is the challenge's",
	"selectelv2: uses the domain itself":                          "looks up the zone by the domain; the record's name is the challenge's",
	"variomedia: uses the domain itself":                          "only in messages of a function that Present calls",
	"vscale: uses the domain itself":                              "looks up the zone by the domain; the record's name is the challenge's",
	"vultr: uses the domain itself":                               "looks up the zone by the domain; the record's name is the challenge's",
}

// judgedApex explains providers that call ExtractSubDomain and can publish at the zone's own name.
var judgedApex = map[string]string{
	"anexia":   "asks first whether the name is the zone's own, and takes @ for it",
	"mittwald": "has a zone for each name, and splits the name only to make a zone below another one",
}
