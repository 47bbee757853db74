package portal

import (
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
)

// none is the state of no delivery.
const none = "none"

// plainly says in plain words why an event is where it is at an endpoint, or why it is not there: of what goes on
// inside, as much as a customer can do something about.
func (v *visit) plainly(w client.Why) string {
	if w.State == none {
		return v.plainlyMissed(w)
	}

	switch w.Because {
	case "settled":
		return v.plainlySettled(w)
	case "sending":
		return v.t("It is being sent at this moment.")
	case "endpoint_paused":
		return v.t("The endpoint is paused: it is sent once you enable it.")
	case "endpoint_disabled", "endpoint_deleted":
		return v.t("The endpoint is disabled or deleted, so it is not sent.")
	case "tenant_paused", "all_paused":
		return v.t("Deliveries are paused for maintenance. Nothing is lost: it is sent afterwards.")
	case "waiting_for_retry":
		return v.t("The last attempt failed. The next one follows:") + " " + when(w.Until)
	case "throttled":
		return v.t("Your receiver asked for fewer requests. The next attempt follows:") + " " + when(w.Until)
	case "waiting_for_lane":
		if w.Ahead != nil {
			return v.f("It waits for its turn: %s other events go to this endpoint before it.", strconv.Itoa(*w.Ahead))
		}
	}
	return v.t("It is about to be sent.")
}

// when writes a moment as pages show it.
func when(at *time.Time) string {
	if at == nil {
		return "–"
	}
	return at.UTC().Format(time.RFC3339)
}

func (v *visit) plainlySettled(w client.Why) string {
	reason := ""
	if w.Reason != nil {
		reason = *w.Reason
	}

	switch {
	case w.State == succeeded:
		return v.t("It was delivered: your receiver answered.")
	case reason == "exhausted":
		return v.t("Every attempt failed, and no other follows. Mend your receiver, then send it again.")
	case reason == "gone":
		return v.t("Your receiver answered 410 Gone, which says that it wants nothing more.")
	case reason == "endpoint_disabled":
		return v.t("It was not sent: the endpoint was disabled meanwhile. Enable it, then recover what it missed.")
	case reason == "endpoint_deleted":
		return v.t("It was not sent: the endpoint was deleted meanwhile.")
	case reason == "payload_gone", reason == "erased", reason == "expired":
		return v.t("It was not sent, and can't be any more: it is too old, or was erased.")
	case reason == "operator":
		return v.t("It was not sent: somebody gave it up.")
	}
	return v.t("It was not delivered, and no attempt follows. Send it again.")
}

// plainlyMissed says why an endpoint has nothing of an event.
func (v *visit) plainlyMissed(w client.Why) string {
	cure := ""
	if w.Recoverable {
		cure = " " + v.t("To get it, recover what the endpoint missed.")
	}

	switch w.Because {
	case "not_subscribed":
		return v.t("The endpoint did not get this type of event then, only:") + " " + strings.Join(w.EventTypes, ", ")
	case "filtered":
		return v.t("The filter that the endpoint had then did not want it.")
	case "was_disabled":
		return v.t("The endpoint was disabled at that time.") + cure
	case "created_later":
		return v.t("The endpoint was added later.") + cure
	case "deleted_before":
		return v.t("The endpoint had been deleted before.")
	case "changed_meanwhile":
		return v.t("The endpoint was changed at that very moment, and did not get it.") + cure
	case "delivery_missing":
		return v.t("It should have been sent, and was not.") + cure
	case "test_of_another":
		return v.t("It was a test of another endpoint.")
	}
	return v.t("What the endpoint was then is not known any more.")
}
