package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"quartet/device/config"
	"quartet/device/identity"
	"quartet/device/web"
)

// who is web.Identity.
type who struct {
	id        *identity.Identity
	reset     identity.ResetConfig
	installed func() // the device certificate is another one now
}

func (w who) Describe() web.IdentityInfo {
	s := w.id.Status()
	v := web.IdentityInfo{Serial: s.Serial, Product: s.Product, Device: certificate(s.Certificate), Page: certificate(s.Page), DeviceKey: s.DeviceKey,
		Enrol: web.Enrolment{State: "none", URL: s.EST, LastError: s.RenewError}}
	if len(s.HomeCA) > 0 {
		v.CA = certificate(&s.HomeCA[0])
	}
	switch {
	case s.RenewError != "":
		v.Enrol.State = "failing"
	case s.EST != "":
		v.Enrol.State, v.Enrol.RenewAt = "enrolled", s.RenewAfter
	case s.Certificate != nil:
		v.Enrol.State, v.Enrol.RenewAt = "request", s.RenewAfter
	}
	return v
}

func certificate(c *identity.Certificate) *web.Certificate {
	if c == nil {
		return nil
	}
	return &web.Certificate{Subject: c.Subject, Issuer: c.Issuer, NotBefore: c.NotBefore, NotAfter: c.NotAfter, SHA256: c.Fingerprint, Names: c.Names}
}

func (w who) CSR() ([]byte, error) { return w.id.CSR() }

func (w who) Install(cert, ca []byte) error {
	err := w.id.Install(cert, ca)
	if err == nil {
		w.installed()
	}
	return badField(err)
}

func (w who) Enrol(ctx context.Context, q web.Enrol) error {
	err := w.id.Enrol(ctx, identity.Enrolment{URL: q.URL, Token: q.Token, CA: []byte(q.CA), HomeCA: []byte(q.HomeCA)})
	var pending *identity.Pending
	switch {
	case err == nil:
		w.installed()
		return nil
	case errors.As(err, &pending):
		return fmt.Errorf("%w: %w", web.ErrConflict, err)
	}
	if bad := badField(err); bad != err { //nolint:errorlint // the same value, not the same kind
		return bad
	}
	return fmt.Errorf("%w: %w", web.ErrFarEnd, err)
}

// badField gives what is wrong with a certificate the page's form.
func badField(err error) error {
	var c *identity.BadCertificate
	var e *identity.BadEnrolment
	switch {
	case errors.As(err, &c):
		return config.Issues{{Path: c.Field, Problem: c.Problem, Remedy: c.Remedy}}
	case errors.As(err, &e):
		return config.Issues{{Path: e.Field, Problem: e.Problem, Remedy: e.Remedy}}
	}
	return err
}

func (w who) FactoryReset() error { return identity.FactoryReset(w.reset) }

// pageCertificate is the certificate of a connection.
func (w who) pageCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return w.id.PageCertificate()
}
