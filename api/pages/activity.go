package pages

import (
	"context"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/web"
)

// Outcomes are what attempts came to, as charts show it.
func Outcomes(a client.AttemptStats) []web.Share {
	return []web.Share{
		{Label: "Succeeded", Tone: "ok", Count: a.Succeeded},
		{Label: "Rejected", Tone: "bad", Count: a.Rejected},
		{Label: "Timed out", Tone: "warn", Count: a.TimedOut},
		{Label: "Unreachable", Tone: "info", Count: a.Unreachable},
		{Label: "Blocked or unknown", Tone: "mute", Count: a.Blocked + a.Unknown},
	}
}

// Sparks gives endpoints of a list their last day, all in one request.
func Sparks(ctx context.Context, api *client.Client, rows []web.EndpointRow) error {
	if len(rows) == 0 {
		return nil
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}

	to := time.Now().UTC().Add(time.Hour - 1).Truncate(time.Hour)
	series, err := api.GetEndpointSeries(ctx, client.GetEndpointSeriesParams{
		EndpointID: ids, From: to.Add(-24 * time.Hour), To: to, StepS: int(time.Hour / time.Second),
	})
	if err != nil {
		return err
	}

	of := make(map[string]web.Spark, len(series.Items))
	for _, s := range series.Items {
		of[s.EndpointID] = web.Spark{OK: s.Succeeded, Bad: s.Failed, Over: "24 hours"}
	}
	for i, r := range rows {
		rows[i].Day = of[r.ID]
	}
	return nil
}
