package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/grant"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/share"
	"github.com/outhook/outhook/jobs/ledger"
)

const (
	// testGrace is what a test waits beyond the endpoint's timeout: a worker fetches a job within 50 ms and records its
	// outcome within milliseconds, unless it is busy.
	testGrace = 5 * time.Second

	// testPoll is how often a test looks for its attempt: below what a person notices, and with all tests that may run at
	// the same time 640 small queries a second.
	testPoll = 25 * time.Millisecond

	// maxTests bounds the tests that wait at the same time, and maxTestsOfTenant those of endpoints of one tenant, whose
	// receivers may be slow.
	maxTests         = 16
	maxTestsOfTenant = maxTests / 4
)

// trial is the first attempt of a test event.
type trial struct {
	EventID           uuid.UUID         `json:"event_id" format:"uuid" doc:"The id of the test event."`
	EndpointID        uuid.UUID         `json:"endpoint_id" format:"uuid"`
	Number            int32             `json:"number"`
	Trigger           string            `json:"trigger" enum:"scheduled,manual"`
	StartedAt         time.Time         `json:"started_at"`
	DurationMS        *int32            `json:"duration_ms"`
	Outcome           string            `json:"outcome" enum:"succeeded,rejected,timed_out,unreachable,blocked,unknown"`
	StatusCode        *int32            `json:"status_code"`
	Error             *string           `json:"error"`
	RemoteAddr        *string           `json:"remote_addr"`
	RequestHeaders    map[string]string `json:"request_headers" nullable:"true"`
	ResponseHeaders   map[string]string `json:"response_headers" nullable:"true"`
	ResponseBody      *string           `json:"response_body"`
	ResponseTruncated bool              `json:"response_truncated"`

	Phases
}

// SchemaName tells the OpenAPI document what a client knows it by.
func (trial) SchemaName() string { return "Tested" }

type testEndpointInput struct {
	EndpointInput

	EventType   string `query:"event_type" maxLength:"255" doc:"Send the catalogue's first example of this event type. It is a test all the same."`
	Traceparent string `header:"Traceparent" doc:"The trace of the request (W3C Trace Context): stored with the event, continued by its attempts and sent to its receivers. A value of another form than version 00 is ignored."`
}

// testSent is a test event that is stored, and whose attempt is waited for.
type testSent struct {
	EventID    uuid.UUID `json:"event_id"`
	EndpointID uuid.UUID `json:"endpoint_id"` // also if the request names it by its uid
	TenantID   string    `json:"tenant_id"`
	TimeoutMS  int32     `json:"timeout_ms"` // of the endpoint
}

type testEndpointOutput struct{ Body trial }

func (s *Server) addTrials() {
	register(s, route{
		Operation: endpointOperation("test-endpoint", http.MethodPost, "/{id}/test",
			"Send a test event and wait for its first attempt",
			"Stores an event of the type outhook.test for this endpoint alone, whatever its event types are. "+
				"It is signed, sent and logged like any other, but not retried. Its payload may be an example of the catalogue."),
		errors: codes{
			problem.NotFound, problem.EndpointNotEnabled, problem.TestCancelled, problem.TooManyTests, problem.TestTimeout,
		},
		access: operateAccess, portal: grant.Test, timeout: maxHandling, patient: true,
	}, s.testEndpoint)
}

func (s *Server) testEndpoint(ctx context.Context, in *testEndpointInput) (*testEndpointOutput, error) {
	var sent testSent
	var give func()
	err := s.changeFirst(ctx, &sent, func(tx pgx.Tx) error {
		e, err := s.endpointToTest(ctx, tx, in.EndpointInput)
		if err != nil {
			return err
		}
		if give, err = s.takeTest(e.TenantID); err != nil {
			return err
		}
		sent, err = s.insertTestEvent(ctx, tx, e, in.EventType, traceOf(ctx, in.Traceparent))
		return err
	})
	if err == nil && give == nil { // it is repeated, and waits with the first
		give, err = s.takeTest(sent.TenantID)
	}
	if give != nil {
		defer give()
	}
	if err != nil {
		return nil, err
	}

	row, err := s.awaitAttempt(ctx, sent)
	if err != nil {
		return nil, err
	}

	a, err := newAttempt(row)
	if err != nil {
		return nil, err
	}
	return &testEndpointOutput{Body: newTrial(sent.EventID, a)}, nil
}

// endpointToTest returns an endpoint that can be tested.
func (s *Server) endpointToTest(ctx context.Context, tx pgx.Tx, in EndpointInput) (db.Endpoint, error) {
	e, err := s.lookUpEndpoint(ctx, tx, in)
	if err != nil {
		return e, err
	}

	if e.Status != db.EndpointStatusEnabled {
		return e, problem.New(problem.EndpointNotEnabled,
			"the endpoint is "+string(e.Status)+": enable it, then test it")
	}
	return e, nil
}

// takeTest takes the place of a test that waits, which is the caller's until give is called.
func (s *Server) takeTest(tenantID string) (give func(), err error) {
	tenant := share.Holder{TenantID: tenantID}
	switch err := s.tests.Take(tenant, 1); {
	case errors.Is(err, share.ErrTaken):
		return nil, problem.Later(problem.TooManyTests,
			fmt.Sprintf("%d tests are waiting already: repeat the request", maxTests), 1)
	case errors.Is(err, share.ErrOwnTaken):
		return nil, problem.Later(problem.TooManyTests,
			fmt.Sprintf("%d tests of this tenant's endpoints are waiting already, as many as one tenant's may: "+
				"repeat the request", maxTestsOfTenant), 1)
	}
	return func() { s.tests.Give(tenant, 1) }, nil
}

func newTrial(eventID uuid.UUID, a attempt) trial {
	return trial{
		EventID: eventID, EndpointID: a.EndpointID, Number: a.Number, Trigger: a.Trigger, StartedAt: a.StartedAt,
		DurationMS: a.DurationMS, Outcome: a.Outcome, StatusCode: a.StatusCode, Error: a.Error, RemoteAddr: a.RemoteAddr,
		RequestHeaders: a.RequestHeaders, ResponseHeaders: a.ResponseHeaders, ResponseBody: a.ResponseBody,
		ResponseTruncated: a.ResponseTruncated, Phases: a.Phases,
	}
}

// insertTestEvent stores a test event for one endpoint and wakes the workers.
func (s *Server) insertTestEvent(
	ctx context.Context, tx pgx.Tx, e db.Endpoint, eventType, traceparent string,
) (sent testSent, err error) {
	payload, err := testPayload(ctx, tx, e.ID, eventType)
	if err != nil {
		return sent, err
	}
	id, err := db.New().InsertTestEvent(ctx, tx, db.InsertTestEventParams{
		TenantID: e.TenantID, Type: ledger.TestEventType, Payload: payload,
		Traceparent: traceparent, EndpointID: e.ID,
	})
	if err != nil {
		return sent, err
	}

	d := done{"test-endpoint", e.TenantID, objectEndpoint, e.ID.String(), map[string]any{"event_id": id}}
	if err := s.audit(ctx, tx, d); err != nil {
		return sent, err
	}
	return testSent{id, e.ID, e.TenantID, e.TimeoutMS}, db.New().NotifyQueue(ctx, tx, ledger.QueueDeliver)
}

// testPayload returns what a test sends: an example of an event type, or Outhook's own.
func testPayload(ctx context.Context, tx pgx.Tx, endpointID uuid.UUID, eventType string) (json.RawMessage, error) {
	if eventType == "" {
		payload, err := ledger.TestPayload(endpointID)
		if err != nil {
			return nil, fmt.Errorf("encoding a test event: %w", err)
		}
		return payload, nil
	}

	return catalogOf(ctx).Payload(ctx, tx, eventType, "query.event_type")
}

func (s *Server) firstAttempt(ctx context.Context, eventID, endpointID uuid.UUID) (row db.DeliveryAttempt, err error) {
	err = s.read(ctx, func(tx pgx.Tx) error {
		row, err = db.New().GetFirstAttempt(ctx, tx, eventID, endpointID)
		return err
	})
	return row, err
}

// awaitAttempt returns the first attempt of a test event once it is recorded. It does not wait for one that will never
// be made: others need the slot.
func (s *Server) awaitAttempt(ctx context.Context, sent testSent) (db.DeliveryAttempt, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(sent.TimeoutMS)*time.Millisecond+testGrace)
	defer cancel()
	ticker := time.NewTicker(testPoll)
	defer ticker.Stop()

	for settled := false; ; {
		row, err := s.firstAttempt(ctx, sent.EventID, sent.EndpointID)
		switch {
		case err == nil:
			return row, nil
		case errors.Is(err, pgx.ErrNoRows) && settled:
			return row, problem.New(problem.TestCancelled,
				"the test was cancelled before it was sent: the endpoint was disabled or deleted, or somebody did it")
		case errors.Is(err, pgx.ErrNoRows):
			// Then the attempt is looked for once more: it may have been recorded since.
			d, err := s.lookUpDelivery(ctx, sent.EventID, sent.EndpointID)
			settled = err == nil && d.State != db.DeliveryStatePending

			select {
			case <-ticker.C:
				continue
			case <-ctx.Done():
			}
		}

		if ctx.Err() != nil {
			return row, problem.New(problem.TestTimeout,
				"no worker has recorded an attempt in time: check that a process with the role worker runs; "+
					"GET /api/events/"+sent.EventID.String()+"/attempts shows the attempt once it is made")
		}
		return row, err
	}
}
