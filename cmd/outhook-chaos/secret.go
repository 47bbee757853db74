package main

import (
	"net/http"
	"time"

	"github.com/outhook/outhook/internal/signature"
)

// knownSecret is a secret of an endpoint, as its receiver knows it.
type knownSecret struct {
	secret  signature.Secret
	retired time.Time // from then on it must not sign; zero: it may
}

// learn adds a secret before anybody signs with it, and returns how many were known before.
func (r *receivers) learn(e *endpoint, secret signature.Secret) (before int) {
	r.mu.Lock()
	defer r.mu.Unlock()

	before = len(e.secrets)
	e.secrets = append(e.secrets, knownSecret{secret: secret})
	return before
}

// retire says until when the first n secrets of an endpoint may sign.
func (r *receivers) retire(e *endpoint, n int, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range e.secrets[:n] {
		if e.secrets[i].retired.IsZero() {
			e.secrets[i].retired = at
		}
	}
}

// signed tells whether a secret that may sign has signed the body.
func (r *receivers) signed(e *endpoint, header http.Header, body []byte) bool {
	now := time.Now()
	var live []signature.Secret

	r.mu.Lock()
	for _, s := range e.secrets {
		if s.retired.IsZero() || now.Before(s.retired) {
			live = append(live, s.secret)
		}
	}
	r.mu.Unlock()

	// The libraries of Standard Webhooks take 5 minutes. A worker whose clock was set by 2 minutes knows it a second
	// later.
	return signature.Verify(live, header, body, now, 5*time.Minute) == nil
}
