package egress

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// ReadCAs returns the system's certificate authorities and those of a PEM file, for [Config.RootCAs]. Text between the
// certificates is ignored, as RFC 7468 wants it. Everything that could be a certificate must be one: an authority that
// was left out without a word would be missed when its receivers fail.
//
// Errors name the block, counted from 1, and its line, and never repeat the file.
func ReadCAs(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator's own configuration
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authorities: %w", err)
	}

	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificate authorities: %w", err)
	}

	found, err := parseCAs(data)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authorities: %w", err)
	}
	for _, cert := range found {
		pool.AddCert(cert)
	}
	return pool, nil
}

// caFile reads the blocks of a PEM file line by line. encoding/pem alone passes over a block that it can't read.
type caFile struct {
	found []*x509.Certificate
	count int // blocks that began

	label string          // of the block that has no end yet, "" between blocks
	begun int             // the line on which it began
	text  strings.Builder // what of it was read
}

var (
	caBegin = regexp.MustCompile(`^-----BEGIN ([A-Z0-9]+(?: [A-Z0-9]+)*)-----$`)

	// caMarker matches a line that was meant to begin or end a block, with whatever dashes an editor made of them.
	caMarker = regexp.MustCompile(
		`\p{Pd}{4,}\s*(?i:BEGIN|END)\b|\p{Pd}\s*(?i:BEGIN|END)\s+(?:\w+\s+)*(?i:CERTIFICATE|PRIVATE\s+KEY)\b`,
	)
)

const byteOrderMark = "\ufeff"

func parseCAs(data []byte) ([]*x509.Certificate, error) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, errors.New("the file is UTF-16: save it as UTF-8 or ASCII")
	}

	// A mark stands also where a file that began with one was joined to another.
	text := strings.NewReplacer(byteOrderMark, "", "\r\n", "\n", "\r", "\n").Replace(string(data))

	var f caFile
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if err := f.read(number, strings.TrimRight(line, " \t")); err != nil {
			return nil, err
		}
	}

	switch {
	case f.label != "":
		return nil, f.fault(f.begun, "has no END line: the file is cut, copy it anew")
	case len(f.found) > 0:
		return f.found, nil
	}

	if _, err := x509.ParseCertificate(data); err == nil {
		return nil, errors.New("the file is a certificate in DER form: convert it with openssl x509 -inform der")
	}
	return nil, errors.New("the file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
}

func (f *caFile) fault(line int, text string) error {
	return fmt.Errorf("block %d (line %d) %s", f.count, line, text)
}

// read takes the next line.
func (f *caFile) read(number int, line string) error {
	begin := caBegin.FindStringSubmatch(line)

	switch {
	case f.label == "" && begin != nil:
		f.count++
		f.label, f.begun = begin[1], number
		f.text.Reset()
	case f.label == "" && caMarker.MatchString(line):
		f.count++
		return f.fault(number, "does not begin with a line like -----BEGIN CERTIFICATE-----, from its first column "+
			"to its end: put it on a line of its own")
	case f.label == "":
		return nil

	case line == "-----END "+f.label+"-----":
		f.text.WriteString(line + "\n")
		cert, err := f.certificate()
		f.found, f.label = append(f.found, cert), ""
		return err
	case caMarker.MatchString(line):
		return f.fault(f.begun, fmt.Sprintf("has no END line like its BEGIN line before line %d: "+
			"copy it anew, and put each of the two on a line of its own", number))
	}

	f.text.WriteString(line + "\n")
	return nil
}

// certificate reads the block that has come to its end.
func (f *caFile) certificate() (*x509.Certificate, error) {
	switch {
	case strings.HasSuffix(f.label, "PRIVATE KEY"):
		return nil, f.fault(f.begun, "is a private key: take it out, only certificates belong here")
	case f.label == "TRUSTED CERTIFICATE":
		return nil, f.fault(f.begun, "has OpenSSL's own form: convert it with openssl x509")
	case f.label == "PKCS7":
		return nil, f.fault(f.begun, "is a PKCS #7 bundle: convert it with openssl pkcs7 -print_certs")
	case f.label != "CERTIFICATE":
		return nil, f.fault(f.begun, "is no certificate (-----BEGIN CERTIFICATE-----): take it out")
	}

	block, _ := pem.Decode([]byte(f.text.String()))
	if block == nil {
		return nil, f.fault(f.begun, "is not whole base64: copy it anew")
	}
	if len(block.Headers) > 0 {
		return nil, f.fault(f.begun, "has lines with a colon before its base64: take them out")
	}

	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil { // which can repeat what is in it
		return nil, f.fault(f.begun, "can't be read as a certificate: copy it anew, or take it out")
	}
	return cert, nil
}
