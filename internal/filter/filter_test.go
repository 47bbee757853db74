package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/dbtest"
	"github.com/outhook/outhook/internal/filter"
)

// matching is a filter of the payload, or of the document if it begins with !, and whether it is true of the payload.
type matching struct {
	payload, filter string
	want            bool
}

// matchings are the documented semantics (docs/filters.md). Those up to the rule are Hookdeck's own, in other words.
func matchings() []matching {
	return []matching{
		// Plain values.
		{`{"kind": "made"}`, `{"kind": "made"}`, true},
		{`{}`, `{"kind": "made"}`, false},
		{`{"kind": "changed"}`, `{"kind": "made"}`, false},
		{`{"kind": 1}`, `{"kind": "made"}`, false},
		{`{"kind": 1}`, `{"kind": 1}`, true},
		{`{"kind": 1.0}`, `{"kind": 1}`, true},
		{`{"kind": "1"}`, `{"kind": 1}`, false},
		{`{"n": 1, "kind": "made"}`, `{"n": 1}`, true},
		{`{"n": 1, "kind": "made"}`, `{"n": 1, "kind": "made"}`, true},
		{`{"n": 1}`, `{"n": 1, "kind": "made"}`, false},
		{`{"on": true}`, `{"on": true}`, true},
		{`{"on": true}`, `{"on": false}`, false},
		{`{"on": null}`, `{"on": null}`, true},
		{`{"on": null}`, `{"on": false}`, false},
		{`{}`, `{"on": null}`, false},
		{`"made"`, `"made"`, true},
		{`1`, `2`, false},
		{`{"on": true}`, `true`, false},
		// Order.
		{`{"n": 0}`, `{"n": {"$lt": 1}}`, true},
		{`{"n": 2}`, `{"n": {"$lt": 1}}`, false},
		{`{"n": 2}`, `{"n": {"$gt": 1, "$lt": 3}}`, true},
		{`{"n": 4}`, `{"n": {"$gt": 1, "$lt": 3}}`, false},
		{`{"n": 3}`, `{"n": {"$gte": 3, "$lte": 3}}`, true},
		{`{"n": -3}`, `{"n": {"$gte": -3.5}}`, true},
		{`{"n": 12345678901234567890}`, `{"n": {"$gt": 12345678901234567889}}`, true},
		{`{"n": 1e3}`, `{"n": 1000}`, true},
		{`{"n": "5"}`, `{"n": {"$gt": 1}}`, false},
		{`{"n": null}`, `{"n": {"$gte": 0}}`, false},
		{`{}`, `{"n": {"$gte": 0}}`, false},
		{`{"name": "a"}`, `{"name": {"$gt": "b"}}`, false},
		{`{"name": "c"}`, `{"name": {"$gt": "b"}}`, true},
		{`{"name": "\u00e9"}`, `{"name": {"$gt": "z"}}`, true},
		{`10`, `{"$gte": 5}`, true},
		// Equal, and not.
		{`{"n": 2}`, `{"n": {"$eq": 2}}`, true},
		{`{"n": 2}`, `{"n": {"$neq": 2}}`, false},
		{`{"n": "2"}`, `{"n": {"$neq": 2}}`, true},
		{`{"n": null}`, `{"n": {"$eq": null}}`, true},
		{`{"n": null}`, `{"n": {"$neq": null}}`, false},
		{`{"n": {}}`, `{"n": {"$neq": null}}`, true},
		{`{}`, `{"n": {"$neq": 2}}`, false},
		// Objects.
		{`{"a": {"b": "made"}}`, `{"a": {"b": "made"}}`, true},
		{`{"a": {"b": "made"}}`, `{"a": {"b": "changed"}}`, false},
		{`{"a": {"b": "made"}}`, `{"a": 1}`, false},
		{`{"a": "b"}`, `{"a": {"b": "c"}}`, false},
		{`{"a": {"b": {"c": {"d": 1}}}}`, `{"a": {"b": {"c": {"d": {"$gte": 1}}}}}`, true},
		// Arrays.
		{`{"tags": ["a", "b"]}`, `{"tags": "a"}`, true},
		{`{"tags": ["a", "b"]}`, `{"tags": "c"}`, false},
		{`{"tags": []}`, `{"tags": "a"}`, false},
		{`{"tags": ["a", "b", "c"]}`, `{"tags": ["a", "b"]}`, true},
		{`{"tags": ["a", "b"]}`, `{"tags": ["a", "c"]}`, false},
		{`{"tags": "a"}`, `{"tags": ["a"]}`, false},
		{`[1, 2, 3]`, `3`, true},
		{`[1, 2, 3]`, `4`, false},
		{`{"items": [{"sku": "x"}]}`, `{"items": {"sku": "x"}}`, true},
		{`{"items": [{"sku": "x"}]}`, `{"items": {"sku": "y"}}`, false},
		{`{"items": [{"n": 9}, {"n": 11}]}`, `{"items": {"n": {"$lte": 10}}}`, true},
		{`{"items": [{"n": 12}, {"n": 11}]}`, `{"items": {"n": {"$lte": 10}}}`, false},
		{`{"items": [{"sku": "x", "n": 1}, {"sku": "y", "n": 2}]}`, `{"items": {"sku": "x", "n": 2}}`, false},
		{`{"items": [{"sku": "x", "n": 1}, {"sku": "y", "n": 2}]}`, `{"items": {"sku": "y", "n": 2}}`, true},
		{`{"items": [{"sku": "x"}, {"sku": "y"}]}`, `{"items": [{"sku": "y"}, {"sku": "x"}]}`, true},
		// Texts.
		{`{"t": "some-text"}`, `{"t": {"$startsWith": "some"}}`, true},
		{`{"t": "some-text"}`, `{"t": {"$endsWith": "some"}}`, false},
		{`{"t": "some-text"}`, `{"t": {"$endsWith": "text"}}`, true},
		{`{"t": {"more": true}}`, `{"t": {"$startsWith": "text"}}`, false},
		{`{"t": "some-text"}`, `{"t": {"$startsWith": ["some", "else"]}}`, true},
		{`{"t": "some-text"}`, `{"t": {"$startsWith": ["thing", "else"]}}`, false},
		{`{"t": "some-text"}`, `{"t": {"$endsWith": ["else", "text"]}}`, true},
		{`{"t": "some-text"}`, `{"t": {"$endsWith": ["else", "some"]}}`, false},
		// Lists of values, and parts.
		{`{"t": "some-text", "n": 1}`, `{"t": {"$in": "text"}, "n": {"$in": [1, 2]}}`, true},
		{`{"t": "some-text"}`, `{"t": {"$in": ["some", "text"]}}`, false},
		{`{"t": "some-text"}`, `{"t": {"$nin": "some"}}`, false},
		{`{"t": "some-text"}`, `{"t": {"$nin": "other"}}`, true},
		{`{"n": 3}`, `{"n": {"$nin": [1, 2]}}`, true},
		{`{"n": 1}`, `{"n": {"$nin": [1, 2]}}`, false},
		{`{}`, `{"n": {"$nin": [1, 2]}}`, false},
		{`{"tags": ["a", "b"]}`, `{"tags": {"$nin": "a"}}`, false},
		{`{"tags": ["a", "b"]}`, `{"tags": {"$in": "a"}}`, true},
		{`{"tags": ["card"]}`, `{"tags": {"$in": "car"}}`, false},
		// Presence.
		{`{"a": "x"}`, `{"a": {"$exist": true}}`, true},
		{`{"a": "x"}`, `{"a": {"$exist": false}}`, false},
		{`{"b": "x"}`, `{"a": {"$exist": true}}`, false},
		{`{"b": "x"}`, `{"a": {"$exist": false}}`, true},
		{`{"a": null}`, `{"a": {"$exist": true}}`, true},
		{`{"a": null}`, `{"a": {"$exist": false}}`, false},
		{`{"a": []}`, `{"a": {"$exist": true}}`, true},
		{`{"a": {"c": 1}}`, `{"a": {"b": {"$exist": false}}}`, true},
		{`{}`, `{"a": {"b": {"$exist": false}}}`, false},
		{`{"a": {"b": "x"}}`, `{"a": {"b": {"$exist": true, "$or": ["x", "y"]}}}`, true},
		{`{"a": {"b": "z"}}`, `{"a": {"b": {"$exist": true, "$or": ["x", "y"]}}}`, false},
		// Logic.
		{`{"a": true}`, `{"$or": [{"a": true}, {"b": 1}]}`, true},
		{`{"a": true}`, `{"$or": [{"a": false}]}`, false},
		{`1`, `{"$or": [1, 2]}`, true},
		{`1`, `{"$and": [1, 2]}`, false},
		{`{"a": {"b": "x"}}`, `{"a": {"$or": [{"b": true}, {"b": {"$in": "x"}}]}}`, true},
		{`{"a": {"b": null}}`, `{"a": {"$and": [{"b": {"$neq": null}}, {"b": {"$in": "x"}}]}}`, false},
		{`{"a": {"x": 1, "y": 2}}`, `{"$not": {"a": {"x": 2}}, "$and": [{"a": {"x": 1}}, {"a": {"y": 2}}]}`, true},
		{`{"a": {"x": 1, "y": 2}}`, `{"$not": {"a": {"x": 1}}, "$and": [{"a": {"x": 1}}, {"a": {"y": 2}}]}`, false},
		{`{"a": 1}`, `{"$not": {"a": {"$gt": "x"}}}`, true},
		{`{"a": "b"}`, `{"a": {"$not": "b"}}`, false},
		{`{}`, `{"a": {"$not": "b"}}`, true},
		{`{"a": 1}`, `{"$not": {"$not": {"a": 1}}}`, true},

		// Where Hookdeck says nothing, or "never": an operator looks into an array too, and all of one place at one element.
		{`{"n": [0, 5]}`, `{"n": {"$gt": 1, "$lt": 3}}`, false},
		{`{"n": [0, 2]}`, `{"n": {"$gt": 1, "$lt": 3}}`, true},
		{`{"tags": ["a", "b"]}`, `{"tags": {"$in": ["b", "c"]}}`, true},
		{`{"tags": ["a", "b"]}`, `{"tags": {"$neq": "a"}}`, false},
		{`{"tags": ["b"]}`, `{"tags": {"$neq": "a"}}`, true},
		{`{"items": [{"n": 1}, {"n": 2}]}`, `{"items": {"n": {"$neq": 1}}}`, true},
		{`{"items": [1, {"m": 1}]}`, `{"items": {"n": {"$exist": false}}}`, true},
		{`{"items": [1]}`, `{"items": {"n": {"$exist": false}}}`, false},
		{`[{"a": 1}]`, `{"a": 1}`, true},
		// Names and texts that mean something to those who read paths, or regular expressions.
		{`{"a.b": {"c\"d\\e": 1}}`, `{"a.b": {"c\"d\\e": 1}}`, true},
		{`{"": {" ": 1}, "é\n": 2}`, `{"": {" ": 1}, "é\n": 2}`, true},
		{`{"t": "x)$"}`, `{"t": {"$endsWith": ")$"}}`, true},
		{`{"t": "axb"}`, `{"t": {"$endsWith": "a.b"}}`, false},
		{`{"t": "x\ny\nz"}`, `{"t": {"$endsWith": "y"}}`, false},
		{`{"t": "***:a(?i)[b-c]{2}^|+\\d"}`, `{"t": {"$endsWith": "***:a(?i)[b-c]{2}^|+\\d"}}`, true},
		{`{"t": "a+b"}`, `{"t": {"$in": "+"}}`, true},
		{`{"t": "aab"}`, `{"t": {"$in": "a+"}}`, false},
		{`{"t": "A"}`, `{"t": {"$in": "a"}}`, false},
		{`{"a": 1, "a": 2}`, `{"a": 2}`, true},
		// The document.
		{`1`, `!{"type": "invoice.paid"}`, true},
		{`1`, `!{"type": {"$startsWith": "order."}}`, false},
		{`1`, `!{"tenant_id": "ac\"me", "data": 1}`, true},
		{`{"a": 1}`, `!{"$or": [{"type": "other"}, {"data": {"a": 1}}]}`, true},
		{`{"a": 1}`, `!{"$not": {"type": "other", "data": {"a": 1}}}`, true},
	}
}

const (
	ofType   = "invoice.paid"
	ofTenant = `ac"me`
)

// text is the filter of the document.
func (m matching) text() string {
	if whole, is := strings.CutPrefix(m.filter, "!"); is {
		return whole
	}
	return `{"data": ` + m.filter + `}`
}

// decide says what Postgres makes of a filter and a payload, as enqueue_many does.
func decide(t *testing.T, pool *pgxpool.Pool, f *filter.Filter, payload string) (is bool) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT outhook.endpoint_wants('{}', '{}', $1::jsonpath, outhook.event_document($2, $3, $4))`,
		f.Path(), ofTenant, ofType, payload).Scan(&is), "%s", f.Path())
	return is
}

func TestPostgresDecidesAsDocumented(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	require.Greater(t, len(matchings()), 120)
	for _, m := range matchings() {
		for text, want := range map[string]bool{m.text(): m.want, `{"$not": ` + m.text() + `}`: !m.want} {
			f, err := filter.Parse([]byte(text))
			require.NoError(t, err, text)
			require.Equal(t, want, decide(t, pool, f, m.payload), "%s of %s by %s", text, m.payload, f.Path())

			document, err := filter.Document(ofType, ofTenant, []byte(m.payload))
			require.NoError(t, err)
			require.Equal(t, want, f.Matches(document), "in Go: %s of %s", text, m.payload)
			require.Equal(t, want, f.Blame(document) == "", "%s of %s: %s", text, m.payload, f.Blame(document))
		}
	}
}

// What jsonb refuses is what no filter is true of, and aborts nobody's transaction. What is nobody's is not even looked at.
func TestWhatPostgresCannotReadIsNotWanted(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	f, err := filter.Parse([]byte(`{"$not": {"data": {"a": 1}}}`))
	require.NoError(t, err)
	for _, payload := range []string{`"\u0000"`, `{"\u0000": 1}`, `"\ud800"`, `1e200000`, `1e-20000`} {
		require.False(t, decide(t, pool, f, payload), payload)
	}
	require.True(t, decide(t, pool, f, `1e400`))
	require.True(t, decide(t, pool, f, `"\ud83d\ude00"`))
	require.True(t, decide(t, pool, f, strings.Repeat("[", 512)+strings.Repeat("]", 512)))
}

func TestWhatIsNoFilterSaysWhere(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", filter.MaxStringBytes+1)
	deep := `{"data": ` + strings.Repeat(`{"a": `, 10) + `1` + strings.Repeat(`}`, 11)
	many := `{"data": {"a": {"$in": [` + strings.Repeat("1, ", filter.MaxPredicates) + `1]}}}`
	big := `{"data": {`
	for i := range filter.MaxPredicates {
		big += fmt.Sprintf(`%q: %q,`, strings.Repeat("n", 200)+fmt.Sprint(i), strings.Repeat("v", 200))
	}
	for text, want := range map[string]string{
		``:                                     "filter is not valid JSON",
		`{`:                                    "filter is not valid JSON",
		`{"data": 1} 1`:                        "filter is not one JSON value",
		"{\"data\": \"\xff\"}":                 "filter is not valid UTF-8",
		`1`:                                    `filter must be an object like {"data"`,
		`[]`:                                   `filter must be an object like {"data"`,
		`{}`:                                   "filter has no condition",
		`{"amount": 1}`:                        "filter.amount is unknown here: a filter looks into type, tenant_id and data",
		`{"$gt": 1}`:                           "filter.$gt is unknown here",
		`{"data": {}}`:                         "filter.data has no condition",
		`{"data": []}`:                         "filter.data has no value",
		`{"data": {"a": {"$regex": "(a+)+"}}}`: "filter.data.a has an unknown operator; known are $eq",
		`{"data": {"a": {"$ref": "b"}}}`:       "filter.data.a has an unknown operator",
		`{"data": {"a": {"$gt": null}}}`:       "filter.data.a.$gt must be a text or a number",
		`{"data": {"a": {"$gt": [1]}}}`:        "filter.data.a.$gt must be a text or a number",
		`{"data": {"a": {"$eq": [1]}}}`:        "filter.data.a.$eq must be a text, a number, true, false or null",
		`{"data": {"a": {"$in": []}}}`:         "filter.data.a.$in must be a list of plain values",
		`{"data": {"a": {"$in": ""}}}`:         "filter.data.a.$in must not be an empty text",
		`{"data": {"a": {"$endsWith": ""}}}`:   "filter.data.a.$endsWith must be a text that is not empty",
		`{"data": {"a": {"$exist": 1}}}`:       "filter.data.a.$exist must be true or false",
		`{"data": {"a": {"$or": 1}}}`:          "filter.data.a.$or must be a list of conditions",
		`{"data": {"a": [{"$gt": 1}]}}`:        "filter.data.a must be a list of plain values, and of objects without operators",
		`{"data": {"a": [[1]]}}`:               "filter.data.a must be a list of plain values",
		`{"data": 1, "data": 2}`:               "filter has a member twice",
		`{"data": "` + long + `"}`:             "filter.data has a text or a name that is longer than 256 bytes",
		`{"data": {"` + long + `": 1}}`:        "filter.data has a text or a name that is longer than 256 bytes",
		`{"data": "\u0000"}`:                   "filter.data has a text with U+0000",
		`{"data": 1e1001}`:                     "filter.data has a number with more than 64 characters, or an exponent beyond 1000",
		`{"data": 1e99999999999999999999}`:     "filter.data has a number",
		`{"data": ` + strings.Repeat("1", 65) + `}`: "filter.data has a number",
		deep:                                "nests deeper than 10 levels",
		many:                                "filter.data.a.$in is one too many: a filter has at most 20 comparisons",
		strings.TrimSuffix(big, ",") + `}}`: "filter is larger than 4096 bytes once compiled",
	} {
		_, err := filter.Parse([]byte(text))
		require.ErrorContains(t, err, want, "%.200s", text)
		var broken *filter.Error
		require.ErrorAs(t, err, &broken)
		require.NotContains(t, err.Error(), "(a+)+", "it repeats no value")
	}
}

// What is as large as it may be fits into what Postgres takes.
func TestTheLargestFilterCompiles(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	text := `{"data": {`
	for i := range filter.MaxPredicates {
		text += fmt.Sprintf(`"%s%d": {"$endsWith": %q},`, strings.Repeat("n", 60), i, strings.Repeat(".", 20))
	}
	f, err := filter.Parse([]byte(strings.TrimSuffix(text, ",") + `}}`))
	require.NoError(t, err)
	require.Greater(t, len(f.Path()), 3000)
	var size int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT pg_column_size($1::jsonpath)`, f.Path()).Scan(&size))
	require.Less(t, size, 6000, "it stays in the endpoint's row")
	require.False(t, decide(t, pool, f, `{}`))
	f, err = filter.Parse([]byte(`{"data": -12345678901234567890123456789012345678901234567890.5e-1000}`))
	require.NoError(t, err)
	require.False(t, decide(t, pool, f, `{}`))
}

// A filter that was false is explained by the condition that was, and by what is there instead.
func TestBlame(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ payload, filter, want string }{
		{`{"amount": 420}`, `{"amount": {"$gte": 1000}}`, `amount >= 1000 was false (amount is 420)`},
		{`{}`, `{"amount": {"$gte": 1000}}`, `amount >= 1000 was false (amount is missing)`},
		{`{"amount": "9999"}`, `{"amount": {"$gte": 1000}}`, `amount >= 1000 was false (amount is "9999")`},
		{`{"plan": "free", "amount": 1}`, `{"amount": 1, "plan": {"$in": ["gold", "pro"]}}`, `plan = "gold" or "pro" was false (plan is "free")`},
		{`{"order": {"lines": [1, 2]}}`, `{"order": {"lines": {"sku": "x", "n": {"$gt": 1}}}}`, `none of order.lines has order.lines.sku = "x" and order.lines.n > 1`},
		{`{"order": 7}`, `{"order": {"id": 1, "n": 2}}`, `order.id = 1 and order.n = 2 was false (order is 7)`},
		{`{"tags": ["a"]}`, `{"tags": "b"}`, `tags = "b" was false (tags is a list of 1)`},
		{`{"a": {}}`, `{"a": {"$neq": null, "b": {"$exist": true}}}`, `a.b is there was false (a.b is missing)`},
		{`{"test": true}`, `{"$not": {"test": true}}`, `test = true was true (the payload is an object)`},
		{`{"a": 1}`, `{"$or": [{"a": 2}, {"b": {"$startsWith": "x"}}]}`, `a = 2 was false (a is 1), and b starts with "x" was false (b is missing)`},
		{`"x"`, `!{"type": "order.paid"}`, `type = "order.paid" was false (type is "invoice.paid")`},
		{`{"t": "` + strings.Repeat("é", 100) + `"}`, `{"t": "x"}`, `t = "x" was false (t is "` + strings.Repeat("é", 59) + `…)`},
	} {
		f, err := filter.Parse([]byte(matching{filter: tc.filter}.text()))
		require.NoError(t, err)
		document, err := filter.Document(ofType, ofTenant, []byte(tc.payload))
		require.NoError(t, err)
		require.Equal(t, tc.want, f.Blame(document), tc.filter)
	}
}
