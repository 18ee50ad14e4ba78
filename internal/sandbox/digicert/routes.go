package digicert

import (
	"net/http"
	"strings"
)

// routes are the calls of the API that the stand-in knows.
func (s *Server) routes() {
	s.mux = http.NewServeMux()
	for pattern, do := range map[string]func(c *call) (reply, error){
		"POST /order/certificate/ssl":                          s.placeHinted,
		"POST /order/certificate/{product}":                    s.placeProduct,
		"GET /order/certificate":                               s.listOrders,
		"GET /order/certificate/{id}":                          s.getOrder,
		"GET /order/certificate/status-changes":                s.statusChanges,
		"GET /order/alternate/{id}":                            s.alternate,
		"PUT /order/certificate/{id}/status":                   s.putOrderStatus,
		"PUT /order/certificate/{id}/revoke":                   s.revokeOrder,
		"PUT /order/certificate/{id}/auto-reissue":             s.putAutoReissue,
		"POST /order/certificate/{id}/reissue":                 s.reissue,
		"GET /order/certificate/{id}/reissue":                  s.listReissues,
		"POST /order/certificate/{id}/duplicate":               s.duplicate,
		"GET /order/certificate/{id}/duplicate":                s.listDuplicates,
		"GET /order/certificate/{id}/validation":               s.orderValidation,
		"PUT /order/certificate/{id}/check-dcv":                s.checkDCV,
		"PUT /order/certificate/{id}/dcv-method":               s.putDCVMethod,
		"PUT /order/certificate/{id}/dcv-random-value":         s.putRandomValue,
		"GET /certificate/{id}/download/format/{format}":       s.download,
		"GET /certificate/{id}/download/platform":              s.downloadPlatform,
		"GET /certificate/{id}/download/platform/{platform}":   s.downloadPlatform,
		"GET /certificate/download/order/{id}/format/{format}": s.downloadOrder,
		"GET /certificate/{id}/chain":                          s.chain,
		"PUT /certificate/{id}/revoke":                         s.revokeCertificate,
		"GET /request":                                         s.listRequests,
		"GET /request/{id}":                                    s.getRequest,
		"PUT /request/{id}/status":                             s.putRequestStatus,
		"GET /domain":                                          s.listDomains,
		"POST /domain":                                         s.postDomain,
		"GET /domain/{id}":                                     s.getDomain,
		"PUT /domain/{id}/dcv/method":                          s.putDomainMethod,
		"POST /domain/{id}/dcv/token":                          s.postDomainToken,
		"PUT /domain/{id}/dcv/validate-token":                  s.validateToken,
		"GET /organization":                                    s.listOrganizations,
		"GET /organization/{id}":                               s.getOrganization,
		"GET /organization/{id}/validation":                    s.organizationValidation,
		"GET /user/me":                                         s.me,
		"GET /product":                                         s.listProducts,
		"GET /product/{id}":                                    s.getProduct,
		"GET /container":                                       s.listContainers,
		"GET /container/{id}/product-limits":                   s.productLimits,
		"GET /account/metadata":                                s.metadata,
		"GET /account/auth-key":                                s.getAuthKeys,
		"POST /account/auth-key":                               s.postAuthKey,
		"POST /account/auth-key/{days}":                        s.postAuthKey,
		"GET /finance/balance":                                 s.balance,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		s.mux.HandleFunc(method+" "+BasePath+path, s.handle(do))
	}
	s.mux.HandleFunc("/", s.handle(func(c *call) (reply, error) {
		return reply{}, fail(http.StatusNotFound, "not_found|route", "There is no %s %s.", c.r.Method, c.r.URL.Path)
	}))
}
