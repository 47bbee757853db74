package console

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
	"github.com/outhook/outhook/internal/apikey"
)

const (
	// heartbeat is how often a stream says that it lives, and asks whether its session does.
	heartbeat = 15 * time.Second

	// streamWrite bounds how long a piece of a stream may take to be sent.
	streamWrite = 10 * time.Second

	// streamRows is how much of a second is shown: more than anybody reads.
	streamRows = 50
)

// showLive is the page around the stream. It holds what ended in the last half minute.
func showLive(v *visit) error {
	var rows []web.LiveRow
	err := v.fill(part{"The last rows", nil, func(v *visit) error {
		page, err := v.api.FollowAttempts(v.ctx(), v.view().params(v.began.Add(-followBack)))
		if err == nil && page.More {
			page, err = v.api.FollowAttempts(v.ctx(), v.view().params(v.began.Add(-followEach)))
		}
		if err == nil {
			rows = liveRows(page.Items)
		}
		return err
	}})
	if err != nil {
		return err
	}

	query := v.URL.Query()
	stream := url.URL{Path: "/console/live/stream", RawQuery: query.Encode()}
	live := web.Live{
		Filters: append([]web.Input{
			v.choice("outcome", "Outcome", web.Option{Value: "succeeded", Label: "Succeeded"},
				web.Option{Value: "failed", Label: "Not succeeded"}),
			v.text("type", "Type", "invoice.*"),
		}, v.tenantFilter()...),
		Filtered: v.filtered("outcome", "type", "tenant"), Stream: stream.String(), Rows: rows,
	}
	return v.show(web.LivePage(v.shell("Live"), live))
}

// streamLive sends attempts as they end, as rows of the page's table, until the browser leaves, the session ends, or
// the process is to stop.
func streamLive(v *visit) error {
	cookie, err := v.Cookie(apikey.SessionCookie)
	if err != nil {
		return errNoSession
	}
	watching, err := v.console.followers.join(v.Context(), cookie.Value, v.view())
	if err != nil {
		return err
	}
	defer v.console.followers.leave(watching)

	// The server's timeouts are for requests that end.
	control := http.NewResponseController(v.w)
	_ = control.SetReadDeadline(time.Time{})
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.Header().Set("X-Accel-Buffering", "no") // nginx would collect it
	v.w.WriteHeader(http.StatusOK)
	send := func(text string) error {
		_ = control.SetWriteDeadline(time.Now().Add(streamWrite))
		if _, err := v.w.Write([]byte(text)); err != nil {
			return err
		}
		return control.Flush()
	}
	_ = v.stream(watching, send) // who left is told nothing
	return nil
}

// stream sends until nothing is to be sent any more.
func (v *visit) stream(watching *viewer, send func(string) error) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	again := 1000 + rand.IntN(4000) //nolint:gosec // it spreads who comes again
	if err := send(fmt.Sprintf("retry: %d\n\n", again)); err != nil {
		return err
	}

	for {
		text := ": alive\n\n"
		select {
		case <-v.Context().Done():
			return v.Context().Err()
		case <-watching.ended:
			return send("event: ended\ndata:\n\n")
		case text = <-watching.rows:
		case <-beat.C:
			if _, err := v.api.GetSession(v.ctx()); err != nil {
				return send("event: ended\ndata:\n\n")
			}
		}
		if err := send(text); err != nil {
			return err
		}
	}
}

// rowsEvent writes rows as an event: each line of the markup is a line of it.
func rowsEvent(ctx context.Context, rows []client.FollowedAttempt) string {
	var b strings.Builder
	if err := web.LiveRows(liveRows(rows)).Render(ctx, &b); err != nil { //nolint:contextcheck // it has it
		return ": \n\n"
	}
	return "event: rows\ndata: " + strings.ReplaceAll(b.String(), "\n", "\ndata: ") + "\n\n"
}

// liveRows returns the newest rows, newest first.
func liveRows(list []client.FollowedAttempt) (rows []web.LiveRow) {
	for _, a := range slices.Backward(list[max(len(list)-streamRows, 0):]) {
		rows = append(rows, liveRow(a))
	}
	return rows
}

// view is what the page's filters admit of what its session may see.
func (v *visit) view() view {
	w := view{tenant: v.query("tenant"), outcome: v.query("outcome"), typ: v.query("type")}
	if v.session.TenantID != nil {
		w.tenant = *v.session.TenantID
	}
	return w
}

func liveRow(a client.FollowedAttempt) web.LiveRow {
	row := web.LiveRow{
		EventID: a.EventID, EndpointID: a.EndpointID, Type: a.Type, Tenant: a.TenantID, Number: a.Number,
		Outcome: web.OutcomeMark(a.Outcome), At: a.StartedAt,
	}

	if a.DurationMS != nil {
		took := time.Duration(*a.DurationMS) * time.Millisecond
		row.Duration, row.At = web.Milliseconds(float64(*a.DurationMS)), a.StartedAt.Add(took)
	}
	switch {
	case a.StatusCode != nil:
		row.Answer = strings.TrimSpace(strconv.Itoa(*a.StatusCode) + " " + http.StatusText(*a.StatusCode))
	case a.Error != nil:
		row.Answer = *a.Error
	}
	return row
}
