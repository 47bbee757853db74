package console_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/api/client"
)

// cells returns what stands in the cells of a page's table of numbers, row by row, without the time.
func cells(page string) (rows [][]string) {
	_, table, _ := strings.Cut(page, `<details class="numbers">`)
	table, _, _ = strings.Cut(table, "</details>")
	cell := regexp.MustCompile(`<td class="n">([^<]*)</td>`)
	for _, row := range strings.Split(table, "<tr>")[1:] {
		var list []string
		for _, m := range cell.FindAllStringSubmatch(row, -1) {
			list = append(list, m[1])
		}
		if list != nil {
			rows = append(rows, list)
		}
	}
	return rows
}

func current(page string) string {
	m := regexp.MustCompile(`<a href="[^"]*" aria-current="true">([^<]*)</a>`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return m[1]
}

// Charts show what was counted, with a table of the same numbers, and without a choice all there is of a day.
func TestActivity(t *testing.T) {
	t.Parallel()
	b := setup(t)
	person := b.login(adminKey)
	made, err := b.api.CreateEndpoint(t.Context(), client.NewEndpoint{TenantID: "acme", URL: "https://a.example"}, client.CreateEndpointParams{})
	require.NoError(t, err)
	endpoint := "/console/endpoints/" + made.ID

	for _, path := range []string{"/console", endpoint} {
		requirePage(t, person.get(path), "Nothing happened in this time")
		require.Equal(t, "24h", current(person.get(path).body), "nothing is known of less")
	}

	for _, of := range []string{"", "acme"} {
		b.rollUp(of, "", 1, 1200, 6)
	}
	b.rollUp("acme", made.ID, 1, 40, 4)
	page := person.get("/console")
	requirePage(t, page, `aria-label="Attempts by outcome, for each minute: 1,200 succeeded, 6 rejected, 3 timed out.`)
	require.Contains(t, []string{"15m", "1h"}, current(page.body), "what has just begun is not a line at the edge")
	rows := cells(page.body)
	require.Len(t, rows, 1)
	require.Equal(t, []string{"1,201", "1,200", "6", "3", "0", "0"}, rows[0][:6])
	require.Equal(t, rows, cells(person.get("/console?tenant=acme").body))
	require.Empty(t, cells(person.get("/console?tenant=globex").body))
	require.Equal(t, "7d", current(person.get("/console?range=7d").body))
	requirePage(t, person.get("/console?tenant=acme"), `href="/console?range=7d&amp;tenant=acme"`)

	page = person.get(endpoint)
	require.Equal(t, []string{"40", "4", "2", "0", "0"}, cells(page.body)[0][:5], "of an endpoint no events are known")
	requirePage(t, page, `Time to answer`)
	requirePage(t, person.get("/console/endpoints"), "<title>46 attempts in 24 hours, 87 % succeeded</title>")

	// Hours ago: a day is shown.
	b.rollUp("", "", 20*60, 7, 0)
	page = person.get("/console?range=")
	require.Equal(t, "24h", current(page.body))
	require.Equal(t, "7", cells(page.body)[0][1])

	// The links of a page that answers a form lead to the page itself.
	revealed := person.post(endpoint+"/reveal", nil)
	requirePage(t, revealed, `href="`+endpoint+`?range=7d"`)
	require.Equal(t, http.StatusOK, person.get(endpoint+"?range=7d").status)
}
