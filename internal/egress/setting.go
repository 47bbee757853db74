package egress

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ParsePorts reads a comma-separated list of ports, for example "80,443". Spaces around an item are ignored; "any" is
// the empty list, which means any port. Errors name the item.
func ParsePorts(s string) ([]uint16, error) {
	if strings.TrimSpace(s) == "any" {
		return nil, nil
	}

	var ports []uint16
	for item := range strings.SplitSeq(s, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(item), 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("port %q: write numbers from 1 to 65535 like 80,443, or any", strings.TrimSpace(item))
		}
		ports = append(ports, uint16(n))
	}
	return ports, nil
}

// ReadCAs returns the system's certificate authorities and those of a PEM file, for [Config.RootCAs].
func ReadCAs(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator's own configuration
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authorities: %w", err)
	}

	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("the file holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
	}
	return pool, nil
}
