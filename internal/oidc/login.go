package oidc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

const loginBytes = 32

// Login is one that a browser has begun. The browser keeps it; the provider sees only what is derived from it, each for
// one purpose: state and nonce tie its answer to this browser, and the verifier of PKCE its code.
type Login struct{ secret [loginBytes]byte }

// NewLogin begins one.
func NewLogin() (l Login) {
	rand.Read(l.secret[:]) // never returns an error: crypto/rand ends the process instead
	return l
}

// ParseLogin reads what [Login.String] wrote.
func ParseLogin(text string) (l Login, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return l, err == nil && copy(l.secret[:], b) == loginBytes && len(b) == loginBytes
}

// String returns the login as a browser keeps it.
func (l Login) String() string { return base64.RawURLEncoding.EncodeToString(l.secret[:]) }

func (l Login) state() string    { return l.derive("state") }
func (l Login) nonce() string    { return l.derive("nonce") }
func (l Login) verifier() string { return l.derive("verifier") }

// derive returns 43 characters, as many as PKCE wants at least.
func (l Login) derive(purpose string) string {
	mac := hmac.New(sha256.New, l.secret[:])
	mac.Write([]byte(purpose))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
