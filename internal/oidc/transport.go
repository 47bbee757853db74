package oidc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const (
	// requestTime bounds a request to the provider, with its redirects and its whole answer. Of the key set too, which
	// listens to no context.
	requestTime = 5 * time.Second

	// maxAnswer bounds an answer in bytes: a key set has 2 KB, and a person in a thousand groups 50 KB.
	maxAnswer = 1 << 20

	// maxHeader bounds its header.
	maxHeader = 64 << 10

	// maxConns bounds the connections: whoever comes back with a code that is none costs a request.
	maxConns = 16

	// maxRedirects is how many a GET follows. Nothing else follows any: a secret goes where it was meant to.
	maxRedirects = 3
)

// newClient returns what asks the provider. It goes through the proxy of the environment, if there is one, as the
// rest of the operator's own traffic does.
func newClient(cas *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout: requestTime,
		Transport: bounded{&http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			TLSClientConfig:   &tls.Config{RootCAs: cas, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, MaxConnsPerHost: maxConns, MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
		}},
		CheckRedirect: checkRedirect,
	}
}

func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case via[0].Method != http.MethodGet:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if err := checkURL(r.URL.String()); err != nil {
		return errors.New("a redirect to an address that " + err.Error())
	}
	return nil
}

// bounded cuts answers off that are too long, and makes an error of a GET that failed: its body is nothing for the log.
type bounded struct{ http.RoundTripper }

// RoundTrip asks the provider.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}

	if r.Method == http.MethodGet && res.StatusCode >= http.StatusBadRequest {
		_ = res.Body.Close()
		return nil, fmt.Errorf("it answered with the status %d", res.StatusCode)
	}
	res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	return res, nil
}
