package outhook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A receiver verifies with any Standard Webhooks library, on the raw body.
func Example_verify() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // as POST /api/endpoints answered it
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		fmt.Println(err)
		return
	}
	receiver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || verifier.Verify(body, r.Header) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		// Keep r.Header.Get("webhook-id") and skip what was handled before: delivery is at least once.
		w.WriteHeader(http.StatusNoContent)
	})

	for _, body := range []string{`{"amount": 4200}`, `{"amount": 9900}`} {
		req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(body))
		now := time.Now()
		signature, err := verifier.Sign("0192f0c1-0000-7000-8000-000000000000", now, []byte(`{"amount": 4200}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("webhook-id", "0192f0c1-0000-7000-8000-000000000000")
		req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		req.Header.Set("webhook-signature", signature)
		answer := httptest.NewRecorder()
		receiver.ServeHTTP(answer, req)
		fmt.Println(body, answer.Code)
	}
	// Output:
	// {"amount": 4200} 204
	// {"amount": 9900} 401
}
