package identity

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
)

// What an EST server answers with is a "certs-only" message: CMS SignedData
// without content and signatures, a bag of certificates (RFC 5652 §5, RFC 7030
// §4.1.3), in base64.

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

type contentInfo struct {
	ContentType asn1.ObjectIdentifier
	Content     asn1.RawValue `asn1:"explicit,optional,tag:0"`
}

type signedData struct {
	Version          int
	DigestAlgorithms asn1.RawValue
	ContentInfo      asn1.RawValue
	Certificates     asn1.RawValue `asn1:"optional,tag:0"`
	CRLs             asn1.RawValue `asn1:"optional,tag:1"`
	SignerInfos      asn1.RawValue
}

// parseCertsOnly reads an answer's body.
func parseCertsOnly(body []byte) ([]*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(body), nil)))
	if err != nil {
		return nil, errors.New("is not base64")
	}
	var outer contentInfo
	if rest, err := asn1.Unmarshal(der, &outer); err != nil || len(rest) > 0 || !outer.ContentType.Equal(oidSignedData) {
		return nil, errors.New("is no CMS SignedData")
	}
	var inner signedData
	if rest, err := asn1.Unmarshal(outer.Content.Bytes, &inner); err != nil || len(rest) > 0 {
		return nil, errors.New("is no CMS SignedData in DER")
	}
	list, err := x509.ParseCertificates(inner.Certificates.Bytes)
	if err != nil {
		return nil, fmt.Errorf("holds a certificate that cannot be read: %w", err)
	}
	if len(list) == 0 || len(list) > maxCertificates {
		return nil, fmt.Errorf("holds %d certificates", len(list))
	}
	return list, nil
}
