package why

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/filter"
	"github.com/outhook/outhook/jobs/ledger"
)

// DeletedFor is how long before an event an endpoint may have been deleted and is still told of, unless somebody asks
// for it: who asks has not noticed that it is gone.
const DeletedFor = 7 * 24 * time.Hour

// The causes of endpoints that an event has no delivery for: part of the API.
const (
	becauseOfTest        = "test_of_another"
	becauseErased        = "tenant_erased"
	becauseCreatedLater  = "created_later"
	becauseDeletedBefore = "deleted_before"
	becauseWasDisabled   = "was_disabled"
	becauseNotSubscribed = "not_subscribed"
	becauseOtherLabels   = "other_labels"
	becauseFiltered      = "filtered"
	becauseMeanwhile     = "changed_meanwhile"
	becauseNotKnown      = "not_known"
	becauseMissing       = "delivery_missing"
)

// Event is what is known of the event.
type Event struct {
	TenantID   string
	Type       string
	At         time.Time // when it was enqueued
	HasPayload bool
	Payload    string // for filters; "": they are not asked for
}

// miss finds why an endpoint has no delivery of an event.
type miss struct {
	r        db.ExplainMissesRow
	event    Event
	tenantID string // that the viewer is bound to; "": none
	a        Answer
}

// Miss says why an endpoint has no delivery of an event: by the revision of it that held when the event was enqueued. A
// revision's time is that of its statement; whether it was committed by then, the delivery tells, which is there or
// not.
func Miss(r db.ExplainMissesRow, event Event, tenantID string) Answer {
	m := &miss{r: r, event: event, tenantID: tenantID}
	if r.WasID != nil && !r.WasDeleted {
		m.a.EventTypes = r.WasEventTypes
	}

	for _, found := range []func() bool{m.nobodys, m.unknown, m.got, m.changed} {
		if found() {
			break
		}
	}
	return m.a
}

// because sets the cause. since may be nil.
func (m *miss) because(code string, since *time.Time, format string, args ...any) bool {
	m.a.Because, m.a.Since, m.a.Text = code, since, fmt.Sprintf(format, args...)
	return true
}

// recoverable appends what makes up for it, if anything does. A recover goes by what the endpoint is subscribed to now.
func (m *miss) recoverable() {
	r := m.r
	if !m.event.HasPayload || r.DeletedAt != nil || r.CreatedAt.After(m.event.At) {
		return
	}

	order := "to make up for it, recover the endpoint with `missed`, since " + clock(&m.event.At) + " or earlier"
	switch {
	case r.WantsNow:
		m.a.Recoverable = true
		m.a.Text += "; " + order
	case r.Status == db.EndpointStatusDisabled:
		m.a.Text += "; " + order + ", once it is enabled and subscribed"
	}
}

// nobodys finds what no endpoint's revision tells of.
func (m *miss) nobodys() bool {
	switch r := m.r; {
	case m.event.Type == ledger.TestEventType:
		return m.because(becauseOfTest, nil, "it is a test event, made for another endpoint alone")
	case r.Erased:
		return m.because(becauseErased, r.DeletedAt,
			"its tenant's data was erased, and with it what the endpoint was subscribed to")
	}
	return false
}

// unknown finds endpoints of which no revision held when the event was enqueued.
func (m *miss) unknown() bool {
	r := m.r
	switch {
	case r.WasID != nil:
		return false
	case r.CreatedAt.After(m.event.At) || !r.FirstKnown && r.FirstAt != nil:
		since := r.CreatedAt
		if !since.After(m.event.At) { // by a transaction that was open when the event was enqueued
			since = *r.FirstAt
		}
		return m.because(becauseCreatedLater, &since, "the endpoint was created at %s, %s after the event",
			clock(&since), period(since.Sub(m.event.At)))
	case r.DeletedAt != nil && !r.DeletedAt.After(m.event.At):
		return m.because(becauseDeletedBefore, r.DeletedAt, "the endpoint was deleted at %s, %s before the event",
			clock(r.DeletedAt), period(m.event.At.Sub(*r.DeletedAt)))

	case r.FirstStatus == string(db.EndpointStatusDisabled) && !r.FirstStatusChangedAt.After(m.event.At):
		m.because(becauseWasDisabled, r.FirstStatusChangedAt, "the endpoint had been disabled since %s%s",
			clock(r.FirstStatusChangedAt), statusReason(r.FirstStatusReason))
		m.recoverable()
		return true
	}

	words := "nothing of its history is left"
	if r.FirstAt != nil {
		words = "its history begins at " + clock(r.FirstAt) + ", with its last change before one was kept"
	}
	m.because(becauseNotKnown, nil,
		"the endpoint was there, but what it was subscribed to at the time is not known: %s", words)
	m.recoverable()
	return true
}

// got finds endpoints that get nothing of the kind by the revision that held.
func (m *miss) got() bool {
	r := m.r
	switch {
	case r.WasDeleted:
		gone := r.WasAt
		if r.DeletedAt != nil {
			gone = r.DeletedAt
		}
		return m.because(becauseDeletedBefore, gone, "the endpoint was deleted%s at %s, %s before the event",
			m.byWhom(), clock(gone), period(m.event.At.Sub(*gone)))

	case r.WasStatus == string(db.EndpointStatusDisabled):
		m.because(becauseWasDisabled, r.WasStatusChangedAt, "the endpoint had been disabled%s since %s%s",
			m.byWhom(), clock(r.WasStatusChangedAt), statusReason(r.WasStatusReason))
	case !r.WasSubscribed:
		m.because(becauseNotSubscribed, r.WasAt, "the endpoint was not subscribed to %s: it wanted %s, since %s or "+
			"earlier", m.event.Type, types(r.WasEventTypes), clock(r.WasAt))
	case !r.WasLabelled:
		m.because(becauseOtherLabels, r.WasAt, "the event has none of the labels that the endpoint wanted: %s, since %s or "+
			"earlier", types(r.WasLabels), clock(r.WasAt))
	case !r.WasWanted:
		return m.filtered()
	default:
		return false
	}

	m.recoverable()
	return true
}

// Filtered tells whether a filter kept an event from an endpoint, so that the payload is needed to say why.
func Filtered(r db.ExplainMissesRow) bool {
	return r.WasID != nil && r.WasSubscribed && r.WasLabelled && !r.WasWanted && r.WasReadable
}

// filtered finds endpoints whose filter was not true of the event.
func (m *miss) filtered() bool {
	r := m.r
	switch {
	case !m.event.HasPayload:
		m.because(becauseNotKnown, nil, "the endpoint had a filter, and the payload is gone: nobody can say any more "+
			"whether the filter let it through")
	case !r.WasReadable:
		m.because(becauseFiltered, r.WasAt, "the endpoint had a filter, since %s or earlier, and no filter lets this "+
			"payload through: it has what jsonb of Postgres refuses, like \\u0000", clock(r.WasAt))
	default:
		m.because(becauseFiltered, r.WasAt, "the endpoint's filter did not let it through: %s; it had this filter "+
			"since %s or earlier", m.blame(), clock(r.WasAt))
	}

	m.recoverable()
	return true
}

// blame says which condition of the filter was false.
func (m *miss) blame() string {
	f, err := filter.Parse([]byte(m.r.WasFilter))
	if err != nil {
		return "the filter was false"
	}
	document, err := filter.Document(m.event.Type, m.event.TenantID, []byte(m.event.Payload))
	if err != nil {
		return "the filter was false"
	}
	return cmp.Or(f.Blame(document), "the filter was false")
}

// byWhom notes who disabled or deleted the endpoint. Of others' keys than its own a tenant is shown none.
func (m *miss) byWhom() string {
	m.a.By = actor(m.r.By, m.r.ByTenant, m.tenantID)
	if m.a.By == nil {
		return ""
	}
	return " by " + *m.a.By
}

// changed finds endpoints that wanted the event by the revision that was written last, and have no delivery.
func (m *miss) changed() bool {
	r := m.r
	const unseen = "most likely that was not committed yet when the event was enqueued, or the publisher's " +
		"transaction had begun before and went by what it saw at its beginning"

	lately := m.event.At.Sub(*r.WasAt) < openFor
	created := len(r.WasChanged) == 0 && !r.WasFirstKnown
	switch {
	case created && lately:
		m.because(becauseMeanwhile, r.WasAt, "the endpoint was created at %s, %s before the event: %s",
			clock(r.WasAt), period(m.event.At.Sub(*r.WasAt)), unseen)
	case r.HasBefore && !r.BeforeWanted && lately:
		m.because(becauseMeanwhile, r.WasAt, "the endpoint has wanted the event since a change of its %s at %s, %s "+
			"before the event: %s", strings.Join(r.WasChanged, " and "), clock(r.WasAt),
			period(m.event.At.Sub(*r.WasAt)), unseen)
	default:
		m.because(becauseMissing, nil, "the endpoint was enabled and subscribed, but has no delivery: none was made, or "+
			"somebody has deleted it; nothing tells which")
	}

	m.recoverable()
	return true
}

// types says what an endpoint is subscribed to.
func types(list []string) string {
	const most = 10
	switch {
	case len(list) == 0:
		return "every type"
	case len(list) > most:
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

// period says how long something was, with its two largest units.
func period(d time.Duration) string {
	switch d = d.Abs(); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 2*ledger.Day:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
