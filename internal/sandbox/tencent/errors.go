package tencent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The common error codes, which any action may answer with.
const (
	authAuthorization = "AuthFailure.InvalidAuthorization"
	authID            = "AuthFailure.SecretIdNotFound"
	authExpired       = "AuthFailure.SignatureExpire"
	authSignature     = "AuthFailure.SignatureFailure"
	authToken         = "AuthFailure.TokenFailure" //nolint:gosec // an error code
	authDenied        = "AuthFailure.UnauthorizedOperation"

	invalidAction    = "InvalidAction"
	invalidParameter = "InvalidParameter"
	invalidRequest   = "InvalidRequest"
	invalidValue     = "InvalidParameterValue"
	missingParameter = "MissingParameter"
	noSuchVersion    = "NoSuchVersion"
	unknownParameter = "UnknownParameter"
	unsupported      = "UnsupportedOperation"
	wrongProtocol    = "UnsupportedProtocol"
	wrongRegion      = "UnsupportedRegion"
	tooLarge         = "RequestSizeLimitExceeded"
	tooMany          = "RequestLimitExceeded"
	internalError    = "InternalError"
)

// failed is the family of the service's own codes.
const failed = "FailedOperation"

// The service's own codes.
const (
	failedAuth           = failed + ".AuthError"
	failedBusy           = failed + ".NetworkError"
	failedBalance        = failed // see Settings.BalanceCode
	failedCancelReview   = failed + ".CertificateNotFoundOrCantCancel"
	failedContactEmail   = failed + ".CertificateInfoSubmitContactEmailEmpty"
	failedDomain         = failed + ".CertificateInfoSubmitDomainInvalid"
	failedEmail          = failed + ".CertificatePreVerifyEmailInvalid"
	failedHosted         = failed + ".CertificateSubmitHostingCertError"
	failedIdentity       = failed + ".NoRealNameAuth"
	failedInfoStatus     = failed + ".CertificateInfoSubmitStatusInvalid"
	failedInvalid        = failed + ".CertificateInvalid"
	failedNotFound       = failed + ".CertificateNotFound"
	failedNotVerifiable  = failed + ".CertificateStatusNotAllowVerify"
	failedParam          = failed + ".InvalidParam"
	failedProcessing     = failed + ".CertificateOrderSubmitProcessing"
	failedProject        = failed + ".NoProjectPermission"
	failedReplace        = failed + ".OrderReplaceFailed"
	failedReplaced       = failed + ".OrderAlreadyReplaced"
	failedResubmit       = failed + ".CertificateStatusNotAllowResubmit"
	failedRevoke         = failed + ".RevokeFailed"
	failedRevokeResource = failed + ".RevokeResourceFailed"
	failedRoot           = failed + ".CertificateOrderSubmitRootCAInvalid"
	failedSource         = failed + ".InvalidCertificateSource"
	failedStatus         = failed + ".InvalidCertificateStatusCode"
	invalidAlgorithm     = "InvalidParameter.RenewAlgorithmInvalid"
)

// apiError is an answer that says what is wrong, in the API's shape: {"Error": {"Code", "Message"}}.
type apiError struct{ code, message string }

// Error returns the code and the message.
func (e *apiError) Error() string { return e.code + ": " + e.message }

func fail(code, format string, args ...any) *apiError {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

func notFound(id string) *apiError {
	return fail(failedNotFound, "The certificate %s does not exist.", id)
}

// errorOf is what an error is told as.
func errorOf(err error) *apiError {
	var api *apiError
	if errors.As(err, &api) {
		return api
	}
	return fail(internalError, "Internal error: %v", err)
}

// faultError is the first thing that is wrong with a request's fields, for the API tells one.
//
// Unconfirmed: which code a parameter of the wrong type has, and which one a value outside of its range; the stand-in
// answers InvalidParameter for both where a single field shows it.
func faultError(faults []sandbox.Fault) error {
	for _, f := range faults {
		code := map[sandbox.FaultKind]string{
			sandbox.Missing: missingParameter, sandbox.Invalid: invalidParameter, sandbox.Unknown: unknownParameter,
		}[f.Kind]
		if code != "" {
			return fail(code, "%s", f.Message)
		}
	}
	return nil
}

// chinese is what the mainland's service says for a family of codes where English was not asked for.
//
// Unconfirmed: that the mainland's messages are Chinese without X-TC-Language: en-US; the SDK's default says so.
func chinese(code string) string {
	family, _, _ := strings.Cut(code, ".")
	text, ok := map[string]string{
		"AuthFailure": "CAM签名/鉴权错误。", failed: "操作失败。", internalError: "内部错误。", invalidParameter: "参数错误。",
		invalidValue: "参数取值错误。", missingParameter: "缺少参数错误。", unknownParameter: "未知参数错误。", tooMany: "请求的次数超过了频率限制。",
		invalidAction: "接口不存在。", noSuchVersion: "接口版本不存在。",
	}[family]
	if !ok {
		return "请求失败。"
	}
	return text
}
