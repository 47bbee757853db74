package egress

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// alertCause names what one side of a TLS connection told the other in an alert, in the handshake or behind it, and
// what it usually means. "" if err is no alert.
func alertCause(err error) string {
	op := (*net.OpError)(nil)
	if !errors.As(err, &op) {
		return ""
	}

	said := strings.TrimPrefix(op.Err.Error(), "tls: ")
	switch {
	case op.Op == "local error" && said == "no renegotiation":
		return "the receiver asks to renegotiate, which is not supported; servers do so to ask for a client certificate " +
			"on some paths: it must not on this one"
	case op.Op == "local error":
		return "what the receiver sent breaks the connection: " + said
	case op.Op == "remote error":
		return "the receiver says: " + said + usualReason(said)
	}
	return ""
}

// usualReason explains the alerts of receivers that are set up otherwise than the client.
func usualReason(alert string) string {
	switch alert {
	case "protocol version not supported":
		return " (it must speak TLS 1.2 or newer)"
	case "handshake failure", "insufficient security level":
		return " (usually no cipher in common: TLS 1.2 needs ECDHE; or it asks for a client certificate, and none is sent)"

	case "certificate required", "bad certificate", "unknown certificate":
		return " (it asks for a client certificate, and none is sent)"
	case "unrecognized name", "internal error":
		return " (usually it has no certificate for this host)"
	case "no application protocol":
		return " (it takes neither h2 nor http/1.1)"
	}
	return ""
}

// tlsCause may fall back on crypto/tls's own words: it has seen no more of a URL than the host.
func tlsCause(err error) string {
	if text := certificateCause(err); text != "" {
		return text
	}

	text := strings.TrimPrefix(err.Error(), "tls: ")
	switch record := (tls.RecordHeaderError{}); {
	case errors.As(err, &record):
		return "the receiver does not speak TLS on this port"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the receiver closed the connection in the handshake"
	case strings.HasPrefix(text, "server selected unsupported protocol version"):
		return "the receiver speaks TLS 1.1 or older only: it must speak TLS 1.2 or newer"
	case strings.HasPrefix(text, "failed to parse certificate"): // and repeats it
		return "the certificate can't be read"
	}
	return text
}

// certificateCause says why a certificate was refused; "" if none was.
func certificateCause(err error) string {
	refused := (*tls.CertificateVerificationError)(nil)
	if !errors.As(err, &refused) || len(refused.UnverifiedCertificates) == 0 {
		return ""
	}

	var (
		host    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	sent := refused.UnverifiedCertificates

	switch {
	case errors.As(err, &host) && !hasNames(sent[0]):
		return "the certificate has no subject alternative name, and its common name alone does not count: " +
			"the receiver needs a new one"
	case errors.As(err, &host):
		return "the certificate is not valid for this host"
	case errors.As(err, &unknown):
		return authorityCause(sent)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return timeCause(sent[0])
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "the certificate is not made for servers (its extended key usage)"
	}
	return "the certificate is not valid"
}

func hasNames(c *x509.Certificate) bool {
	return len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses)+len(c.URIs) > 0
}

func timeCause(c *x509.Certificate) string {
	switch now := time.Now(); {
	case now.After(c.NotAfter):
		return "the certificate has expired on " + c.NotAfter.UTC().Format(time.DateOnly)
	case now.Before(c.NotBefore):
		return "the certificate is not yet valid, before " + c.NotBefore.UTC().Format(time.RFC3339) +
			" (or the clock of this machine is wrong)"
	}
	return "an intermediate certificate that the receiver sends has expired or is not yet valid"
}

// authorityCause tells apart why no known authority vouches for the certificates that a receiver sends, its own first.
func authorityCause(sent []*x509.Certificate) string {
	const unknown = "the certificate is signed by an unknown authority"
	selfSigned := func(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }
	issued := func(c *x509.Certificate) bool { return bytes.Equal(sent[0].RawIssuer, c.RawSubject) }

	switch {
	case selfSigned(sent[0]):
		return "the certificate is signed by itself, and by no known authority"
	case !slices.ContainsFunc(sent[1:], issued):
		return unknown + ": the receiver sends no intermediate certificate (it should send its full chain), " +
			"or the authority is a private one"
	}
	return unknown
}
