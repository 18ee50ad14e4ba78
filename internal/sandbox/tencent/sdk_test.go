package tencent

import (
	"errors"
	"strings"
	"testing"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	ssl "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/ssl/v20191205"

	"github.com/certbridge/certbridged/internal/sandbox"
)

// The service's own client finds in the stand-in what it finds in the service: this is the only thing that was not
// written from the documentation.
func TestSDKIsUnderstood(t *testing.T) {
	r := newRig(t)
	if err := r.s.AddKey(Key{SecretID: "AKIDsession", SecretKey: "secret", Token: "token"}); err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]common.CredentialIface{
		"lasting key":   common.NewCredential(r.key.SecretID, r.key.SecretKey),
		"temporary key": common.NewTokenCredential("AKIDsession", "secret", "token"),
	} {
		t.Run(name, func(t *testing.T) {
			settings := profile.NewClientProfile()
			settings.HttpProfile.Scheme, settings.HttpProfile.Endpoint = "HTTP", strings.TrimPrefix(r.url, "http://")
			settings.Language = "en-US"
			client, err := ssl.NewClient(credential, "", settings)
			if err != nil {
				t.Fatal(err)
			}
			client.WithHttpTransport(r.client.Transport)
			orderBySDK(t, r, client)
		})
	}
}

func orderBySDK(t *testing.T, r *rig, client *ssl.Client) {
	t.Helper()
	buy := ssl.NewCreateCertificateRequest()
	buy.ProductId, buy.DomainNum, buy.TimeSpan = common.Int64Ptr(dnspodDV), common.Int64Ptr(1), common.Int64Ptr(1)
	buy.Tags = []*ssl.Tags{{TagKey: common.StringPtr("farm"), TagValue: common.StringPtr(t.Name())}}
	bought, err := client.CreateCertificateWithContext(t.Context(), buy)
	if err != nil {
		t.Fatal(err)
	}
	id := *bought.Response.CertificateIds[0]
	info := ssl.NewCertificateInfoSubmitRequest()
	info.CertId, info.GenCsrType, info.CertCommonName = &id, common.StringPtr("parse"), common.StringPtr("shop.example.com")
	info.CompanyType, info.CompanyId, info.ContactEmail = common.Uint64Ptr(1), common.StringPtr("0"), common.StringPtr("certs@example.com")
	info.Csr, info.AutoRenewFlag = common.StringPtr(csrOf(t, testKey(), "shop.example.com")), common.Uint64Ptr(0)
	if _, err := client.CertificateInfoSubmitWithContext(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	submit := ssl.NewCertificateOrderSubmitRequest()
	submit.CertId, submit.VerifyType = &id, common.StringPtr("DNS")
	submitted, err := client.CertificateOrderSubmitWithContext(t.Context(), submit)
	if err != nil || *submitted.Response.Status != statusReview || *submitted.Response.IsAudited || *submitted.Response.OrderId == "" {
		t.Fatalf("submitted %v, %v", submitted, err)
	}
	_, err = client.CertificateOrderSubmitWithContext(t.Context(), submit)
	var refused *sdkerrors.TencentCloudSDKError
	if !errors.As(err, &refused) || refused.Code != ssl.FAILEDOPERATION_CERTIFICATEORDERSUBMITPROCESSING || refused.RequestId == "" {
		t.Errorf("submitted twice: %v", err)
	}
	ask := ssl.NewDescribeCertificateDetailRequest()
	ask.CertificateId = &id
	detail, err := client.DescribeCertificateDetailWithContext(t.Context(), ask)
	if err != nil || len(detail.Response.DvAuthDetail.DvAuths) != 1 {
		t.Fatalf("detail %v, %v", detail, err)
	}
	show := detail.Response.DvAuthDetail.DvAuths[0]
	r.show(obj{"DvAuthKey": *show.DvAuthKey, "DvAuthValue": *show.DvAuthValue, "DvAuthVerifyType": *show.DvAuthVerifyType})
	check := ssl.NewCheckCertificateDomainVerificationRequest()
	check.CertificateId = &id
	seen, err := client.CheckCertificateDomainVerificationWithContext(t.Context(), check)
	if err != nil || *seen.Response.VerificationResults[0].LocalCheck != localOK || !*seen.Response.VerificationResults[0].Issued {
		t.Fatalf("seen %v, %v", seen, err)
	}
	detail, err = client.DescribeCertificateDetailWithContext(t.Context(), ask)
	if err != nil || *detail.Response.Status != statusIssued || len(chainOf(t, *detail.Response.CertificatePublicKey)) != 2 || len(detail.Response.CertChainInfo) != 2 {
		t.Errorf("issued %v, %v", detail, err)
	}
	download := ssl.NewDownloadCertificateRequest()
	download.CertificateId = &id
	if archive, err := client.DownloadCertificateWithContext(t.Context(), download); err != nil || len(members(t, *archive.Response.Content)) == 0 {
		t.Errorf("archive: %v", err)
	}
	list := ssl.NewDescribeCertificatesRequest()
	list.Tags, list.CertificateStatus = buy.Tags, []*uint64{common.Uint64Ptr(statusIssued)}
	if found, err := client.DescribeCertificatesWithContext(t.Context(), list); err != nil || *found.Response.TotalCount != 1 || *found.Response.Certificates[0].CertificateId != id {
		t.Errorf("by tag: %v, %v", found, err)
	}
	again := ssl.NewReplaceCertificateRequest()
	again.CertificateId, again.ValidType = &id, common.StringPtr("DNS")
	reissue, err := client.ReplaceCertificateWithContext(t.Context(), again)
	if err != nil || *reissue.Response.CertificateId == id {
		t.Fatalf("reissue %v, %v", reissue, err)
	}
	cancel := ssl.NewCancelAuditCertificateRequest()
	cancel.CertificateId = reissue.Response.CertificateId
	if done, err := client.CancelAuditCertificateWithContext(t.Context(), cancel); err != nil || !*done.Response.Result {
		t.Errorf("canceled %v, %v", done, err)
	}
	managers := ssl.NewDescribeManagersRequest()
	managers.CompanyId = common.Int64Ptr(DemoCompany)
	if people, err := client.DescribeManagersWithContext(t.Context(), managers); err != nil || *people.Response.TotalCount != 2 {
		t.Errorf("managers %v, %v", people, err)
	}
	revoke := ssl.NewRevokeCertificateRequest()
	revoke.CertificateId = &id
	if auths, err := client.RevokeCertificateWithContext(t.Context(), revoke); err != nil || len(auths.Response.RevokeDomainValidateAuths) != 1 {
		t.Errorf("revoked %v, %v", auths, err)
	}
	if l := r.s.Ledger(); l.Entries[0].Reference == "" || l.Count(AutoRenew) != 0 || l.Count(sandbox.Purchase) == 0 {
		t.Errorf("ledger %+v", l.Entries)
	}
}
