package docs_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook"
)

const (
	// A receiver has two secrets, as in the middle of a rotation. The third is somebody else's.
	newSecret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldSecret   = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xk"
	otherSecret = "whsec_b3RoZXItb3RoZXItb3RoZXItb3RoZXItb3RoZXI="

	// bodyLimit is the largest body that a receiver takes.
	bodyLimit = 1 << 20

	// ok stands for any 2xx in what is wanted.
	ok = 200
)

// call is a request to a receiver. The zero value is a good one: an envelope about an invoice of its own, signed now with the
// new secret.
type call struct {
	name     string
	signed   func(invoice int) string            // the body
	at       time.Duration                       // when it is signed, from now
	stamp    string                              // the timestamp, if it is no time
	sign     func(id, stamp, body string) string // the header webhook-signature
	change   func(h http.Header, right string)   // the headers, after signing; right is the right signature in base64
	sent     func(body string) string            // another body than the signed one
	chunked  bool
	repeated bool // its id and body are those of the call before
	unpaid   bool // its type is none that the handler knows
	want     int
}

// macOf returns the base64 of the HMAC of Standard Webhooks.
func macOf(secret, id, stamp, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, id+"."+stamp+"."+body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// with returns what signs with the secrets, in this order.
func with(secrets ...string) func(id, stamp, body string) string {
	return func(id, stamp, body string) string {
		var list []string
		for _, secret := range secrets {
			list = append(list, "v1,"+macOf(secret, id, stamp, body))
		}
		return strings.Join(list, " ")
	}
}

// envelope returns what makes a body of an event type, with a note in the form of JSON.
func envelope(eventType, note string) func(invoice int) string {
	return func(invoice int) string {
		return fmt.Sprintf(`{"type":%q,"timestamp":"2026-03-01T09:30:00Z","data":{"id":%d,"note":"%s"}}`, eventType, invoice, note)
	}
}

// padded returns what makes an envelope of that many bytes.
func padded(size int) func(invoice int) string {
	return func(invoice int) string {
		rest := size - len(envelope("invoice.paid", "")(invoice))
		return envelope("invoice.paid", strings.Repeat("x", rest))(invoice)
	}
}

// text returns what makes a body with %d for the invoice.
func text(format string) func(invoice int) string {
	return func(invoice int) string { return strings.ReplaceAll(format, "%d", strconv.Itoa(invoice)) }
}

// next returns the number of a new webhook, which is also its invoice.
func (r *receiver) next() int {
	r.calls++
	return r.calls
}

// requireCalls makes all calls and requires after each what it is answered with and what the inbox holds.
func (r *receiver) requireCalls(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.databaseURL)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))

	for _, c := range slices.Concat(goodCalls(), forgedCalls(), oversizedCalls()) {
		want := cmp.Or(c.want, ok)
		require.Equal(t, want, r.call(t, c), c.name)
		requireInbox(t, conn, r.stored, c.name)
	}

	// A sender that breaks off, by FIN and by RST, ends its own request and nobody else's.
	for _, linger := range []int{-1, 0} {
		cut := r.dial(t)
		tcp, isTCP := cut.(*net.TCPConn)
		require.True(t, isTCP)
		require.NoError(t, tcp.SetLinger(linger))
		_, err := io.WriteString(cut, "POST /webhooks HTTP/1.1\r\nHost: "+r.address+"\r\nContent-Length: 1000\r\n\r\n{\"type\":")
		require.NoError(t, err)
		require.NoError(t, cut.Close())
		require.Equal(t, ok, r.call(t, call{name: "after a cut"}), "after a body that was cut")
	}

	// What can't be stored is not acknowledged, and comes again.
	_, err = conn.Exec(t.Context(), "ALTER TABLE webhook_inbox RENAME TO gone")
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, r.call(t, call{name: "without a table"}))
	_, err = conn.Exec(t.Context(), "ALTER TABLE gone RENAME TO webhook_inbox")
	require.NoError(t, err)
	r.calls--
	require.Equal(t, ok, r.call(t, call{name: "again"}))

	// The database's restart is survived.
	_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	require.NoError(t, err)
	r.deliver(t, "after a restart of the database")
	requireInbox(t, conn, r.stored, "after all calls")
	require.Greater(t, r.calls, 60)
}

func goodCalls() []call {
	return []call{
		{name: "good"},
		{name: "a duplicate", repeated: true},
		{name: "a duplicate of a later attempt", repeated: true, at: time.Second},
		{name: "290 s old", at: -290 * time.Second},
		{name: "290 s ahead", at: 290 * time.Second},
		{name: "two signatures, the second right", sign: with(otherSecret, newSecret)},
		{name: "two signatures, the first right", sign: with(newSecret, otherSecret)},
		{name: "the second secret", sign: with(oldSecret)},
		{name: "both secrets", sign: with(newSecret, oldSecret)},
		{name: "a right signature among others", change: func(h http.Header, right string) {
			h.Set("webhook-signature", "v1a,AAAA v1, garbage v1,Größe v2,"+right+"  v1,"+right)
		}},
		{name: "chunked", chunked: true},
		{name: "a body beyond ASCII", signed: envelope("invoice.paid", `Größe ✓ 漢字 😀 \u00e9 \" \\`)},
		{name: "white space and order of members", signed: text("{ \"data\":\t{\"id\": %d} ,\n \"type\" : \"invoice.paid\"} ")},
		{name: "the largest payload", signed: padded(outhook.MaxPayloadBytes)},
		{name: "a header beyond ASCII", change: func(h http.Header, _ string) { h.Set("x-name", "Jürgen 漢字") }},
		{name: "no content type", change: func(h http.Header, _ string) { h.Del("content-type") }},
		// The type that counts is the signed one.
		{name: "the header names another type", change: func(h http.Header, _ string) { h.Set("outhook-event-type", "a.b") }},
		{name: "the body names another type", signed: envelope("invoice.viewed", ""), unpaid: true},
		{name: "no envelope", signed: text(`{"id": %d}`), unpaid: true},
	}
}

func forgedCalls() (list []call) {
	refuse := func(name string, c call) {
		c.name, c.want = name, http.StatusUnauthorized
		list = append(list, c)
	}
	refuse("a tampered body", call{sent: func(string) string { return envelope("invoice.paid", "")(998) }})
	refuse("a body with a byte too many", call{sent: func(body string) string { return body + " " }})
	refuse("an empty body", call{sent: func(string) string { return "" }})
	refuse("another id", call{change: func(h http.Header, _ string) { h.Set("webhook-id", "another") }})
	refuse("an id beyond ASCII", call{change: func(h http.Header, _ string) { h.Set("webhook-id", "ü") }})
	refuse("306 s old", call{at: -306 * time.Second})
	refuse("306 s ahead", call{at: 306 * time.Second})
	refuse("a moved timestamp", call{at: -400 * time.Second, change: func(h http.Header, _ string) {
		h.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	}})
	refuse("somebody else's secret", call{sign: with(otherSecret)})
	refuse("nothing signed", call{sign: func(_, _, _ string) string { return "" }, change: func(h http.Header, _ string) {
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			h.Del(name)
		}
	}})
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for _, stamp := range []string{"abc", "NaN", "Infinity", "1e9", "0x7fffffff", "-" + now, now + ".5", now + "s", strings.Repeat("9", 30)} {
		refuse("the timestamp "+stamp, call{stamp: stamp})
	}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		refuse("no "+name, call{change: func(h http.Header, _ string) { h.Del(name) }})
		refuse("an empty "+name, call{change: func(h http.Header, _ string) { h.Set(name, "") }})
	}
	for _, form := range []string{
		"v1", "v1,", ",", " ", "v1, RIGHT", "v1:RIGHT", "RIGHT", "v2,RIGHT", "v1a,RIGHT", "V1,RIGHT", "v1,RIGHT=", "v1,xRIGHT",
		"v1,!!!!", "v1,ü" + strings.Repeat("A", 43), "v1," + strings.Repeat("ü", 44), "v1," + strings.Repeat("A", 3000), "\"v1,RIGHT\"",
	} {
		refuse("the signature "+form, call{change: func(h http.Header, right string) {
			h.Set("webhook-signature", strings.ReplaceAll(form, "RIGHT", right))
		}})
	}
	return list
}

func oversizedCalls() []call {
	large := padded(bodyLimit + 1)
	return []call{
		{name: "a body that is too large", signed: large, want: http.StatusRequestEntityTooLarge},
		{name: "chunks that are too large", signed: large, chunked: true, want: http.StatusRequestEntityTooLarge},
		{name: "signed, but no JSON", signed: text(`{"type":`), want: http.StatusInternalServerError},
		{name: "after all that"},
	}
}

// call makes a call and returns the status of its answer: ok for each 2xx.
func (r *receiver) call(t *testing.T, c call) int {
	t.Helper()
	if c.repeated {
		r.calls--
	}
	n := r.next()
	id, stamp := fmt.Sprintf("0192f0c1-0000-7000-8000-%012d", n), c.stamp
	if stamp == "" {
		stamp = strconv.FormatInt(time.Now().Add(c.at).Unix(), 10)
	}
	signed, sign := c.signed, c.sign
	if signed == nil {
		signed = envelope("invoice.paid", "")
	}
	if sign == nil {
		sign = with(newSecret)
	}

	body := signed(n)
	header := http.Header{"Content-Type": {"application/json"}, "Outhook-Event-Type": {"invoice.paid"}}
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", stamp)
	header.Set("webhook-signature", sign(id, stamp, body))
	if c.change != nil {
		c.change(header, macOf(newSecret, id, stamp, body))
	}
	sent := body
	if c.sent != nil {
		sent = c.sent(body)
	}

	status := r.post(t, c.name, header, sent, c.chunked)
	if status/100 != 2 {
		return status
	}
	if r.stored[id] = body; !c.unpaid && !c.repeated {
		r.paid = append(r.paid, n)
	}
	return ok
}

// deliver makes a good call as Outhook does: again, as long as it is answered with 500, for which a database that is slow to let
// the receiver in is reason enough.
func (r *receiver) deliver(t *testing.T, name string) {
	t.Helper()
	n := r.calls
	eventually(t, func() bool {
		r.calls = n
		status := r.call(t, call{name: name})
		require.Contains(t, []int{ok, http.StatusInternalServerError}, status, name)
		return status == ok
	})
}

// post sends a request on a connection of its own and returns the status of the answer, which may come before the body's end.
func (r *receiver) post(t *testing.T, name string, header http.Header, body string, chunked bool) int {
	t.Helper()
	conn := r.dial(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.address+"/webhooks", strings.NewReader(body))
	require.NoError(t, err)
	req.Header, req.Close = header, true
	if chunked {
		req.ContentLength = -1
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		_ = req.Write(conn) // the receiver need not read it all
	}()
	defer func() {
		conn.Close()
		<-written
	}()

	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	require.NoError(t, err, name)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err, name)
	return res.StatusCode
}

// requireInbox requires the inbox to hold exactly these bodies, byte for byte.
func requireInbox(t *testing.T, conn *pgx.Conn, want map[string]string, name string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT id, payload::text FROM webhook_inbox")
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ ID, Payload string }])
	require.NoError(t, err)
	got := map[string]string{}
	for _, row := range list {
		got[row.ID] = row.Payload
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)), name)
	require.True(t, maps.Equal(want, got), "%s: bodies are not stored byte for byte", name)
}

// requireWork requires each event to be worked on once that succeeds: one that fails waits, is in nobody's way, and is tried
// again.
func (r *receiver) requireWork(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.databaseURL)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	value := func(sql string) (text string) {
		require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&text))
		return text
	}
	// What failed while the database was away is due within a minute; here at once.
	const again = `UPDATE webhook_inbox SET due_at = now() WHERE due_at IS NOT NULL`
	_, err = conn.Exec(t.Context(), again)
	require.NoError(t, err)

	failing := r.calls + 1
	_, err = conn.Exec(t.Context(), fmt.Sprintf(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN RAISE 'the handler fails'; END$$;
		CREATE TRIGGER fail BEFORE UPDATE ON invoices FOR EACH ROW WHEN (OLD.id = %d) EXECUTE FUNCTION fail()`, failing))
	require.NoError(t, err)
	r.deliver(t, "the handler fails on it")
	r.deliver(t, "behind one that fails")
	const waiting = `SELECT coalesce(string_agg(payload->'data'->>'id', ' '), '') FROM webhook_inbox
		WHERE due_at IS NOT NULL`
	eventually(t, func() bool { return value(waiting) == strconv.Itoa(failing) })

	_, err = conn.Exec(t.Context(), `DROP TRIGGER fail ON invoices; `+again)
	require.NoError(t, err)
	r.deliver(t, "after the handler's recovery")
	eventually(t, func() bool { return value("SELECT count(*)::text FROM webhook_inbox WHERE due_at IS NOT NULL") == "0" })
	slices.Sort(r.paid)
	want, err := conn.Query(t.Context(), "SELECT id FROM invoices WHERE paid ORDER BY id")
	require.NoError(t, err)
	paid, err := pgx.CollectRows(want, pgx.RowTo[int])
	require.NoError(t, err)
	require.Equal(t, r.paid, paid)
}
