package outhooktest

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/outhook/outhook/internal/signature"
)

// Sign returns the headers with which a webhook comes: webhook-id, webhook-timestamp, webhook-signature, and the
// content type. secret is an endpoint's, whsec_…; id is the event's. Give another time, or change the body behind it,
// to see that a receiver refuses that.
func Sign(t testing.TB, secret, id string, at time.Time, body []byte) http.Header {
	t.Helper()
	parsed, err := signature.ParseSecret(secret)
	if err != nil {
		t.Fatalf("reading the secret: %v", err)
	}
	value, err := signature.Sign([]signature.Secret{parsed}, id, at, body)
	if err != nil {
		t.Fatalf("signing: %v", err)
	}

	header := http.Header{}
	header.Set(signature.HeaderID, id)
	header.Set(signature.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(signature.HeaderSignature, value)
	header.Set("content-type", "application/json")
	return header
}
