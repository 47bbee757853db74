package oidc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// finishTime bounds the requests that a login takes in the end.
	finishTime = 10 * time.Second

	// maxSubject bounds a subject in bytes, as OpenID Connect does, and maxText what else is repeated of a provider's
	// texts.
	maxSubject = 255
	maxText    = 200
	maxCode    = 64
)

// Person is who has logged in.
type Person struct {
	Subject string // the provider's name for the person, which stays
	Name    string // for the audit trail
	Role    Role
}

// Finish takes what a browser comes back with, and tells who uses it. Returns an [*Error] whose Kind says what a
// person is told, a [*RefusedError], or a [*NoRoleError].
func (p *Provider) Finish(ctx context.Context, l Login, answer url.Values) (who Person, err error) {
	if subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(l.state())) != 1 {
		return who, &Error{ErrOtherLogin, "the state is another login's"}
	}
	if code := answer.Get("error"); code != "" {
		return who, &RefusedError{printable(code, maxCode), printable(answer.Get("error_description"), maxText)}
	}

	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.client), finishTime)
	defer cancel()
	d, err := p.discover(ctx)
	if err != nil {
		return who, err
	}

	said, err := p.exchange(ctx, d, l, answer.Get("code"))
	if err != nil {
		return who, err
	}
	return p.person(said)
}

// exchange gives the code for what the provider says of the person, proven by its signature, and tied to this login
// by the nonce.
func (p *Provider) exchange(ctx context.Context, d *discovery, l Login, code string) (claims, error) {
	token, err := d.oauth.Exchange(ctx, code, oauth2.VerifierOption(l.verifier()))
	if err != nil {
		return nil, tokenError(err)
	}

	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return nil, &Error{ErrInvalid, "the answer has no ID token"}
	}
	id, err := d.verifier.Verify(ctx, raw)
	switch {
	case err != nil:
		return nil, trouble(ErrInvalid, err)
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(l.nonce())) != 1:
		return nil, &Error{ErrInvalid, "the ID token's nonce is another login's"}
	case id.Subject == "" || len(id.Subject) > maxSubject:
		return nil, &Error{ErrInvalid, "the ID token's subject is empty or too long"}
	}

	said := claims{}
	if err := id.Claims(&said); err != nil {
		return nil, trouble(ErrInvalid, err)
	}
	if said.has(p.cfg.GroupsClaim, p.cfg.NameClaim) || d.provider.UserInfoEndpoint() == "" {
		return said, nil
	}
	return said, p.addUserInfo(ctx, d, token, id.Subject, said)
}

// addUserInfo asks for what is not in the ID token: some providers keep that small.
func (p *Provider) addUserInfo(
	ctx context.Context, d *discovery, token *oauth2.Token, subject string, said claims,
) error {
	info, err := d.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return trouble(ErrAway, err)
	}
	if info.Subject != subject {
		return &Error{ErrInvalid, "the user info is another person's"}
	}

	more := claims{}
	if err := info.Claims(&more); err != nil {
		return trouble(ErrInvalid, err)
	}
	said.add(more)
	return nil
}

// person returns who the claims are of, and what that person may do.
func (p *Provider) person(said claims) (who Person, err error) {
	who.Subject = printable(said.texts("sub")[0], maxSubject)
	who.Name = who.Subject
	if names := said.texts(p.cfg.NameClaim); len(names) == 1 {
		who.Name = printable(names[0], maxText)
	}

	groups := said.texts(p.cfg.GroupsClaim)
	var ok bool
	if who.Role, ok = roleOf(p.cfg.Roles, groups); !ok {
		return who, &NoRoleError{Name: who.Name, Claim: p.cfg.GroupsClaim, Groups: len(groups)}
	}
	return who, nil
}

// tokenError returns what a token endpoint's answer means. Its body is nothing for the log.
func tokenError(err error) error {
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return trouble(ErrAway, err)
	}

	status := 0
	if refused.Response != nil {
		status = refused.Response.StatusCode
	}
	text := fmt.Sprintf("its token endpoint answered with the status %d, %q",
		status, printable(refused.ErrorCode, maxCode))
	if refused.ErrorCode == "invalid_grant" {
		return &Error{ErrOtherLogin, text}
	}
	return &Error{ErrInvalid, text}
}
