package deliver

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/cloudevent"
	"github.com/outhook/outhook/internal/conceal"
	"github.com/outhook/outhook/internal/egress"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/jobs/ledger"
)

// acceptAny is for endpoints without an accept header: some receivers, and firewalls, refuse requests without one.
const acceptAny = "*/*"

// credentials are what an endpoint's row holds, decrypted and decoded by the first delivery of a query that needs it.
type credentials struct {
	once    sync.Once
	secrets []signature.Secret // live ones, newest first; during a rotation there are two and both sign
	header  http.Header        // the endpoint's own; not to be changed
	conceal conceal.Concealer  // knows the secrets and the secret headers
	err     error
}

// open decrypts the credentials of the run's endpoint.
func (w *Worker) open(r *run) (*credentials, error) {
	c := r.credentials
	c.once.Do(func() {
		if c.err = w.openSecrets(r, c); c.err == nil {
			c.err = w.openHeaders(r, c)
		}
	})
	return c, c.err
}

// sign returns the request's headers: the event's, which are anybody's, then the endpoint's own, then ours, which
// nobody can override, but for accept. webhook-id is the event's id, the same on every attempt; webhook-timestamp is
// this attempt's second on the database's clock.
func (w *Worker) sign(r *run, body []byte, at time.Time) (http.Header, error) {
	c, err := w.open(r)
	if err != nil {
		return nil, err
	}

	id := r.EventID.String()
	value, err := signature.Sign(c.secrets, id, at, body)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}

	header := make(http.Header, len(c.header)+14)
	header.Set("accept", acceptAny)
	if err := addHeaders(header, r.EventHeaders); err != nil {
		return nil, fmt.Errorf("reading the event's headers: %w", err)
	}
	maps.Copy(header, c.header)
	header.Set(signature.HeaderID, id)
	header.Set(signature.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	header.Set(signature.HeaderSignature, value)
	header.Set("outhook-event-type", r.Type)
	header.Set("outhook-attempt", strconv.Itoa(int(r.number)))
	header.Set(ledger.HeaderDepth, strconv.Itoa(r.depth+1))
	if r.metadata.Sequence > 0 {
		header.Set("outhook-sequence", strconv.FormatInt(r.metadata.Sequence, 10))
	}
	header.Set("user-agent", "Outhook/"+w.cfg.Version)
	header.Set("content-type", "application/json")
	if r.Format == cloudevent.Format {
		cloudevent.Event{ID: id, Type: r.Type, TenantID: r.TenantID, At: r.CreatedAt}.AddTo(header)
	}
	return header, nil
}

// noHeaders is the JSON of no headers, which most endpoints have; most events have none at all.
const noHeaders = "{}"

// addHeaders adds those of an object of texts.
func addHeaders(header http.Header, object json.RawMessage) error {
	if object == nil || string(object) == noHeaders {
		return nil
	}

	var texts map[string]string
	if err := json.Unmarshal(object, &texts); err != nil {
		return err
	}
	for name, value := range texts {
		header.Set(name, value)
	}
	return nil
}

// openHeaders reads the endpoint's headers, those that are stored encrypted last.
func (w *Worker) openHeaders(r *run, c *credentials) error {
	c.header = http.Header{}

	if err := addHeaders(c.header, r.Headers); err != nil {
		return fmt.Errorf("reading the endpoint's headers: %w", err)
	}

	if string(r.SecretHeaders) != noHeaders {
		secret, err := w.cfg.Keyring.OpenHeaders(r.SecretHeaders, r.EndpointID[:])
		if err != nil {
			return fmt.Errorf("decrypting the endpoint's secret headers: %w", err)
		}
		for name, value := range secret {
			c.header.Set(name, value)
			c.conceal.AddHeader(name, value)
		}
	}

	return nil
}

// openSecrets decrypts the live secrets, newest first.
func (w *Worker) openSecrets(r *run, c *credentials) error {
	c.secrets = make([]signature.Secret, len(r.SealedSecrets))
	for i, sealed := range r.SealedSecrets {
		raw, err := w.cfg.Keyring.Open(r.SecretKeyIds[i], sealed, r.EndpointID[:])
		if err != nil {
			return fmt.Errorf("decrypting a secret: %w", err)
		}
		if c.secrets[i], err = signature.SecretFromBytes(raw); err != nil {
			return fmt.Errorf("reading a secret: %w", err)
		}
		c.conceal.AddKey(raw)
	}
	return nil
}

// ownHeaders are kept with their value; the values of an endpoint's own headers may be credentials.
func ownHeader(name string) bool {
	switch name {
	case "Webhook-Id", "Webhook-Timestamp", "Outhook-Event-Type", "Outhook-Attempt", "Outhook-Depth",
		"Outhook-Sequence", "User-Agent", "Content-Type", "Traceparent":
		return true
	}
	return false
}

// keptRequestHeaders returns the JSON of the headers as they are kept with the attempt: names in lower case, the
// signature and the values of the endpoint's own headers and the event's redacted.
func keptRequestHeaders(header http.Header, format string) string {
	return ledger.HeaderJSON(header, func(name string) string {
		value := header.Get(name)
		switch {
		case ownHeader(name), name == "Accept" && value == acceptAny,
			format == cloudevent.Format && cloudevent.IsHeader(name):
			return value
		}
		return conceal.Marker
	})
}

func keptResponseHeaders(header http.Header) string {
	if len(header) == 0 {
		return ""
	}
	return ledger.HeaderJSON(header, header.Get)
}

// trigger is that of the run's attempt: manual for the first one of a person's order, which is River UI's Retry of a
// settled delivery, or a replay.
func (r *run) trigger() db.AttemptTrigger {
	if r.reopened || (r.job.Args.Base != nil && !r.job.Args.Repaired && r.TryCount == 0) {
		return db.AttemptTriggerManual
	}
	return db.AttemptTriggerScheduled
}

func newAttempt(r *run, startedAt time.Time, header http.Header, res egress.Result) *attempt {
	return &attempt{
		startedAt:  startedAt,
		durationMS: int32(res.Duration.Milliseconds()), //nolint:gosec // at most 30 s
		took:       res.Duration,
		outcome:    outcome(res.Outcome),
		trigger:    r.trigger(),

		statusCode:      int32(res.StatusCode), //nolint:gosec // three digits
		error:           res.Error,
		remoteAddr:      res.RemoteAddr,
		phases:          res.Phases,
		requestHeaders:  keptRequestHeaders(header, r.Format),
		responseHeaders: keptResponseHeaders(res.Header),
		responseBody:    ledger.Storable(res.Body),
		truncated:       res.BodyTruncated,
	}
}

// outcome maps the egress client's outcome to the stored one; an unknown value of a later version must not get lost.
func outcome(o egress.Outcome) db.AttemptOutcome {
	switch o {
	case egress.Succeeded:
		return db.AttemptOutcomeSucceeded
	case egress.Rejected:
		return db.AttemptOutcomeRejected
	case egress.TimedOut:
		return db.AttemptOutcomeTimedOut
	case egress.Unreachable:
		return db.AttemptOutcomeUnreachable
	case egress.Blocked:
		return db.AttemptOutcomeBlocked
	case egress.Unknown:
	}

	return db.AttemptOutcomeUnknown
}
