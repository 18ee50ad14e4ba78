package sslapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/certbridge/certbridged/pkg/pluginapi"
	"github.com/certbridge/certbridged/pkg/pluginapi/restca"
)

// decodeProblems reads the error of an answer, whose HTTP status is mostly 200, in the form of today or the one before.
func decodeProblems(body []byte) []restca.Problem {
	var in struct {
		Response struct {
			Error     json.RawMessage `json:"Error"`
			RequestID Text            `json:"RequestId"`
		} `json:"Response"`
		Code     Text `json:"code"` // the form of before
		CodeDesc Text `json:"codeDesc"`
		Message  Text `json:"message"`
	}
	if restca.Decode(body, &in) != nil {
		return nil
	}
	if raw := in.Response.Error; len(raw) > 0 && string(raw) != "null" {
		var e struct {
			Code    Text `json:"Code"`
			Message Text `json:"Message"`
		}
		if restca.Decode(raw, &e) != nil || e.Code == "" && e.Message == "" {
			e.Message = "an error without a code"
		}
		return []restca.Problem{{Code: string(e.Code), Message: withRequest(string(e.Message), string(in.Response.RequestID))}}
	}
	if in.Code != "" && in.Code != "0" {
		code := string(in.CodeDesc)
		if code == "" {
			code = string(in.Code)
		}
		return []restca.Problem{{Code: code, Message: string(in.Message)}}
	}
	return nil
}

// withRequest adds the id by which Tencent's support finds a call.
func withRequest(message, id string) string {
	if id == "" {
		return message
	}
	return strings.TrimSuffix(message, ".") + ", request " + id
}

// meaning is what an error code means.
type meaning struct {
	code string
	kind pluginapi.ErrorKind
	// write is the kind where the call was to change something, when that is another one.
	write pluginapi.ErrorKind
	// field is the setting at fault.
	field  string
	advice string
	// doubtful: the call may have had an effect all the same.
	doubtful bool
}

const (
	policy    = "; give the key's user a CAM policy that allows the action, see the list in ca-tencent.md"
	hostWords = "; is base_url right?"
	busyWords = "; the CA's system is busy: it is tried again later"
)

// meanings are the codes that the API documents: those of all its services, those of the pages of the three calls of an
// order, and those of the other calls that are made here. The code decides; what has no row is judged by its family, the
// text before the first dot.
func meanings() []meaning {
	const (
		invalid, denied, limited, away = pluginapi.InvalidRequest, pluginapi.Unauthorized, pluginapi.RateLimited, pluginapi.Unavailable
		conflict, absent, person       = pluginapi.Conflict, pluginapi.NotFound, pluginapi.NeedsPerson
	)
	return []meaning{
		{code: "AuthFailure.SignatureExpire", kind: denied, advice: "; set this machine's clock: a request counts for five minutes"},
		{code: "AuthFailure.SignatureFailure", kind: denied, field: "secret_key", advice: "; check secret_key: it does not belong to secret_id"},
		{code: "AuthFailure.InvalidAuthorization", kind: denied, advice: "; check secret_id and secret_key"},
		{code: "AuthFailure.InvalidSecretId", kind: denied, field: "secret_id", advice: "; check secret_id, and that base_url is the host of the key's site"},
		{code: "AuthFailure.SecretIdNotFound", kind: denied, field: "secret_id", advice: "; check secret_id, and that base_url is the host of the key's site"},
		{code: "AuthFailure.TokenFailure", kind: denied, field: "token", advice: "; the temporary key has expired, or token does not belong to it"},
		{code: "AuthFailure.MFAFailure", kind: denied, advice: "; take the demand for MFA off the key's user: a program has no second factor"},
		{code: "AuthFailure.UnauthorizedOperation", kind: denied, advice: policy},
		{code: "AuthFailure", kind: denied, advice: "; check secret_id and secret_key"},
		{code: "UnauthorizedOperation", kind: denied, advice: policy},
		{code: "IpInBlacklist", kind: denied, advice: "; this machine's address is on the key's list of refused ones"},
		{code: "IpNotInWhitelist", kind: denied, advice: "; this machine's address is not on the key's list of allowed ones"},

		{code: "InvalidAction", kind: invalid, field: "base_url", advice: "; this host does not have the action" + hostWords},
		{code: "NoSuchVersion", kind: invalid, field: "base_url", advice: hostWords},
		{code: "NoSuchProduct", kind: invalid, field: "base_url", advice: hostWords},
		{code: "ActionOffline", kind: invalid, field: "base_url", advice: "; Tencent has taken the action away: a newer plugin is needed"},
		{code: "UnsupportedRegion", kind: invalid, field: "region", advice: "; leave region out"},
		{code: "UnsupportedProtocol", kind: invalid, field: "base_url", advice: hostWords},
		{code: "UnsupportedOperation", kind: invalid},

		{code: "InvalidParameter.RenewAlgorithmInvalid", kind: invalid, field: "csr", advice: "; the product does not take this kind of key: set the certificate's key to rsa-2048"},
		{code: "InvalidParameter", kind: invalid},
		{code: "InvalidParameterValue", kind: invalid},
		{code: "MissingParameter", kind: invalid},
		{code: "UnknownParameter", kind: invalid, advice: "; this host does not take one of the settings: remove what only the other site has"},
		{code: "InvalidRequest", kind: invalid},
		{code: "RequestSizeLimitExceeded", kind: invalid},
		{code: "DryRunOperation", kind: invalid},

		{code: "RequestLimitExceeded", kind: limited}, // taken as not carried out, which the documentation suggests and does not say
		{code: "LimitExceeded.RateLimitExceeded", kind: limited},
		{code: "LimitExceeded", kind: person, advice: "; a quota of the account is used up"},
		{code: "ResourceInsufficient", kind: person, advice: "; a quota of the account is used up, or the balance"},
		{code: "ResourceInUse", kind: person},
		{code: "InternalError", kind: away, doubtful: true},
		{code: "ServiceUnavailable", kind: away, doubtful: true},
		{code: "ResourceUnavailable", kind: away, doubtful: true},

		{code: "FailedOperation.AuthError", kind: denied, advice: policy},
		{code: "FailedOperation.CAMAuthorizedFail", kind: denied, advice: policy},
		{code: "FailedOperation.NoProjectPermission", kind: denied, advice: "; give the key's user the project that the certificate belongs to"},
		{code: "FailedOperation.NoRealNameAuth", kind: person, advice: "; the account's owner must verify their identity in the console"},
		{code: "FailedOperation.CertificateNotFound", kind: absent},
		{code: "FailedOperation.NetworkError", kind: away, doubtful: true, advice: busyWords},
		{code: "FailedOperation.CertificateOrderSubmitProcessing", kind: conflict},
		{code: "FailedOperation.CertificateInfoSubmitStatusInvalid", kind: conflict},
		{code: "FailedOperation.InvalidCertificateStatusCode", kind: conflict},
		{code: "FailedOperation.CertificateInvalid", kind: invalid},
		{code: "FailedOperation.InvalidParam", kind: invalid},
		{code: "FailedOperation.CertificateInfoSubmitDomainInvalid", kind: invalid, field: "identifiers", advice: "; the product does not take these names"},
		{code: "FailedOperation.CertificateInfoSubmitContactEmailEmpty", kind: invalid, field: "ContactEmail"},
		{code: "FailedOperation.CertificatePreVerifyEmailInvalid", kind: invalid, field: "ContactEmail"},
		{code: "FailedOperation.CertificateOrderSubmitRootCAInvalid", kind: invalid, advice: "; check CaType, SignAlgo and UseCrossSignRoot"},
		{code: "FailedOperation.CertificateSubmitHostingCertError", kind: invalid},
		{code: "FailedOperation.CertificateCsrParseFailed", kind: invalid, field: "csr", advice: "; the product does not take this kind of key: set the certificate's key to rsa-2048"},
		{code: "FailedOperation.CannotGetOrder", kind: away, doubtful: true},
		{code: "FailedOperation.SystemError", kind: away, doubtful: true},
		{code: "FailedOperation.ExceedsFreeLimit", kind: person, advice: "; the quota of free certificates is used up"},
		{code: "FailedOperation.PackageCountLimit", kind: person, advice: "; the quota of free certificates is used up"},
		{code: "FailedOperation.MainDomainCertificateCountLimit", kind: person, advice: "; the quota of free certificates is used up"},
		{code: "FailedOperation.OrderAlreadyReplaced", kind: conflict},
		{code: "FailedOperation.OrderReplaceFailed", kind: person},
		{code: "FailedOperation.CancelOrderFailed", kind: conflict},
		{code: "FailedOperation.CancelAuditCertificateFailed", kind: conflict},
		{code: "FailedOperation.CertificateCancelFailedMulti", kind: conflict},
		{code: "FailedOperation.CertificateNotFoundOrCantCancel", kind: conflict},
		{code: "FailedOperation.CertificateNotFoundOrAudited", kind: conflict},
		{code: "FailedOperation.RevokeFailed", kind: conflict},
		{code: "FailedOperation.RevokeResourceFailed", kind: person, advice: "; the certificate is in use by resources of the cloud: take it off them first"},
		{code: "FailedOperation.InvalidCertificateSource", kind: invalid, advice: "; it was uploaded, not bought"},
		{code: "FailedOperation.CertificateStatusNotAllowVerify", kind: conflict},
		{code: "FailedOperation.CertificateStatusNotAllowResubmit", kind: conflict},
		// Whatever it is, such as a balance that does not suffice: Tencent documents no code for that.
		{code: "FailedOperation", kind: away, write: person, advice: "; for a purchase see that the balance suffices, and look in the console that nothing was bought before you approve it"},
	}
}

// meaningOf finds the row of a code: its own, or that of its family.
func meaningOf(code string) (meaning, bool) {
	family, _, _ := strings.Cut(code, ".")
	var of meaning
	found := false
	for _, m := range meanings() {
		if m.code == code {
			return m, true
		}
		if m.code == family {
			of, found = m, true
		}
	}
	return of, found
}

// judge says what an answer means for the caller.
func judge(r *restca.Refusal) restca.Verdict {
	if len(r.Problems) == 0 { // a gateway, and no word of the API
		return restca.ByStatus(r)
	}
	m, known := meaningOf(r.Problems[0].Code)
	switch {
	case known:
		// A code of this family that is not documented may be a fault of theirs after the work was done.
		strange := m.code == failed && r.Problems[0].Code != failed
		return restca.Verdict{Kind: m.kind, Field: m.field, Advice: m.advice, Doubtful: m.doubtful || strange, Lasting: m.code == networkError}
	case r.Status == http.StatusTooManyRequests:
		return restca.Verdict{Kind: pluginapi.RateLimited}
	default: // nobody knows what it means, and so not that nothing was done
		return restca.Verdict{Kind: pluginapi.Unavailable, Doubtful: true, Lasting: true}
	}
}

// The codes that are acted upon.
const (
	failed         = "FailedOperation"
	networkError   = "FailedOperation.NetworkError"
	Processing     = "FailedOperation.CertificateOrderSubmitProcessing"
	InfoStatus     = "FailedOperation.CertificateInfoSubmitStatusInvalid"
	WrongStatus    = "FailedOperation.InvalidCertificateStatusCode"
	AlreadyChanged = "FailedOperation.OrderAlreadyReplaced"
	NotVerifiable  = "FailedOperation.CertificateStatusNotAllowVerify"
	CantCancel     = "FailedOperation.CertificateNotFoundOrCantCancel"
)

// Has reports whether an error is a refusal with one of the codes.
func Has(err error, codes ...string) bool {
	no := restca.RefusalOf(err)
	if no == nil {
		return false
	}
	for _, p := range no.Problems {
		for _, code := range codes {
			if p.Code == code {
				return true
			}
		}
	}
	return false
}

// busyPause is when to come again while the CA's system is busy.
const busyPause = 30 * time.Second

// Fail turns the failure of a call that only reads into one of the contract's kinds; what says what was being done.
func Fail(what string, err error) *pluginapi.Error { return paced(restca.Fail(what, err), err) }

// FailWrite is Fail for a call that changes something and is safe to repeat.
func FailWrite(what string, err error) *pluginapi.Error { return asWrite(Fail(what, err), err) }

// FailOnce is Fail for a call that may have bought something or is not safe to repeat: unless it surely had no effect,
// its outcome is unknown.
func FailOnce(what string, err error) *pluginapi.Error {
	return asWrite(paced(restca.FailOnce(what, err), err), err)
}

func paced(out *pluginapi.Error, err error) *pluginapi.Error {
	if Has(err, networkError) {
		out.RetryAfter = max(out.RetryAfter, busyPause)
	}
	return out
}

func asWrite(out *pluginapi.Error, err error) *pluginapi.Error {
	no := restca.RefusalOf(err)
	if no == nil || len(no.Problems) == 0 || out.Kind == pluginapi.UnknownOutcome {
		return out
	}
	if m, known := meaningOf(no.Problems[0].Code); known && m.write != 0 {
		out.Kind = m.write
	}
	return out
}
