package portal

import (
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// findMissing leads to an event by its id, or shows those of a type and a time. An event's page says what became of it.
func findMissing(v *visit) error {
	id, eventType := strings.TrimSpace(v.query("id")), strings.TrimSpace(v.query("type"))
	page := web.PortalMissing{Asked: id != "" || eventType != "" || v.query("within") != ""}
	known, err := v.knownTypes()
	if err != nil {
		return err
	}
	page.TypeHint = known
	page.Fields = v.missingFields()

	switch {
	case !page.Asked:
	case id != "":
		found, answer, err := v.eventOf(id)
		if err != nil {
			return err
		}
		if found {
			http.Redirect(v.w, v.Request, "/portal/events/"+id, http.StatusSeeOther)
			return nil
		}
		page.Answer = answer
	default:
		if err := v.eventsOf(eventType, &page); err != nil {
			return err
		}
	}
	return v.show(web.PortalMissingPage(v.shell(v.t("Missing an event?")), page))
}

func (v *visit) missingFields() []web.Input {
	within := web.Input{Name: "within", Label: v.t("When"), Type: "select"}
	chosen := v.within()
	for _, o := range []web.Option{
		{Value: "1h", Label: v.t("The last hour")},
		{Value: "24h", Label: v.t("The last 24 hours")},
		{Value: "168h", Label: v.t("The last 7 days")},
		{Value: "720h", Label: v.t("The last 30 days")},
	} {
		length, _ := time.ParseDuration(o.Value) // they are ours
		o.Selected = length == chosen
		within.Options = append(within.Options, o)
	}

	return []web.Input{
		{Name: "id", Label: v.t("Its id"), Type: "search", Value: v.query("id"), Placeholder: "0193…"},
		{
			Name: "type", Label: v.t("Or its type"), Type: "search", Value: v.query("type"),
			Placeholder: "invoice.paid", List: "types",
		},
		within,
	}
}

func (v *visit) within() time.Duration {
	length, err := time.ParseDuration(v.query("within"))
	if err != nil || length <= 0 || length > 366*24*time.Hour {
		return 24 * time.Hour
	}
	return length
}

// eventOf tells whether there is an event with an id, and if not, why that may be.
func (v *visit) eventOf(id string) (found bool, answer string, err error) {
	parsed, err := uuid.Parse(id)
	if err != nil {
		answer = v.f("This is no id of an event. It looks like %s and is the header webhook-id of a request.",
			"01938c0a-7b1e-7c3d-9e4f-2a6b8c0d1e3f")
		return false, answer, nil //nolint:nilerr // that is the answer
	}

	_, err = v.api.GetEvent(v.ctx(), id)
	switch {
	case err == nil:
		return true, "", nil
	case !pages.IsGone(err):
		return false, "", err
	}
	answer = v.t("You have no event with this id: nothing was published with it, or it is older than what is kept.")
	if parsed.Version() == 7 {
		sec, nsec := parsed.Time().UnixTime()
		answer += " " + v.t("An event with it would be of this time:") + " " + time.Unix(sec, nsec).UTC().Format(time.RFC3339)
	}
	return false, answer, nil
}

// eventsOf finds the latest events of a type, or of any.
func (v *visit) eventsOf(eventType string, page *web.PortalMissing) error {
	list, err := v.api.ListEvents(v.ctx(), client.ListEventsParams{
		Type: eventType, Since: time.Now().Add(-v.within()), Order: "desc", Limit: pageRows, Cursor: v.query("cursor"),
	})
	if refused, ok := pages.AsRefusal(err); ok && refused.Status == http.StatusUnprocessableEntity {
		page.Answer = v.f("This is no type of events. It looks like %s.", "invoice.paid")
		return nil
	}
	if err != nil {
		return err
	}

	for _, e := range list.Items {
		page.Found = append(page.Found, web.EventRow{
			ID: e.ID, Type: v.kind(e.Type), At: e.CreatedAt, Deliveries: e.DeliveryCount,
		})
	}
	if list.NextCursor != nil {
		page.More = v.pathWith("cursor", *list.NextCursor)
	}
	page.Answer = v.t("Nothing like it happened in this time: no event of this type was published for you.")
	return nil
}
