package egress_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/outhook/outhook/internal/egress"
)

// wireText are pieces of paths and queries: what must arrive as it is, and what must arrive escaped. No piece holds a
// % that is not an escape.
func wireText(more ...string) *rapid.Generator[string] {
	pieces := append([]string{
		"a", "Z", "0", "-", "_", "~", ".", "..", "/", "//", "/./", "/../", ":", "@", "!", "$", "&", "'", "(", ")", "*", "+",
		",", ";", "=", "[", "]", "%2F", "%2f", "%25", "%2e", "%3F", "%3b", "%41", "%00", "%0d%0A", "%ff", "%C3%a9", "%7C", "%5b",
		"é", "例え", "\U0001f600", "\u00a0.", "e\u0301", "\"", "<", ">", `\`, "^", "`", "{", "|", "}",
	}, more...)
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12), func(list []string) string {
		return strings.Join(list, "")
	})
}

// wireTarget generates what stands behind the host of a URL, and what the receiver must see of it.
func wireTarget(t *rapid.T) (written, want string) {
	path := rapid.OneOf(rapid.Just(""), rapid.Map(wireText(), func(s string) string { return "/" + s })).Draw(t, "path")
	query := rapid.OneOf(rapid.Just(""), rapid.Map(wireText("?", "/?"), func(s string) string { return "?" + s })).Draw(t, "query")
	written = path + query
	want = onTheWire(written)
	if !strings.HasPrefix(want, "/") {
		want = "/" + want
	}
	return written, want
}

// onTheWire keeps what RFC 3986 allows in a path or a query, and what browsers leave, and escapes the rest.
func onTheWire(s string) string {
	const kept = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/?%[]"
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(kept, s[i]) >= 0 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
	}
	return b.String()
}

// The request line has the path and the query as they were written, and what can't stand there escaped. net/url alone
// encodes a whole path anew if one character of it must be escaped: %2F becomes / then.
func TestRequestLineHasTheURLAsWritten(t *testing.T) {
	t.Parallel()
	lines := make(chan string, 1)
	receiver := serveRaw(t, func(conn net.Conn) {
		reader := bufio.NewReader(conn)
		line, err := reader.ReadString('\n')
		if err != nil || !readRequest(bufio.NewReader(io.MultiReader(strings.NewReader(line), reader))) {
			return
		}
		lines <- line
		write(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	client := setup(t, egress.Config{})
	check := func(rt require.TestingT, written, want string) {
		require.NoError(rt, client.CheckURL(receiver.url+written))
		res := client.Post(t.Context(), egress.Request{URL: receiver.url + written, Body: []byte("{}")})
		require.Equal(rt, egress.Succeeded, res.Outcome, res.Error)
		require.Equal(rt, "POST "+want+" HTTP/1.1\r\n", <-lines)
	}
	for written, want := range map[string]string{
		"":                        "/",
		"?":                       "/?",
		"/?":                      "/?",
		"??":                      "/??",
		"?a=b;c":                  "/?a=b;c",
		"//evil/..":               "//evil/..",
		"/a%2Fb/é":                "/a%2Fb/%C3%A9",
		"/%2F?q=é&r=%2f":          "/%2F?q=%C3%A9&r=%2f",
		`/a%2Fb/{id}|"<>\^` + "`": "/a%2Fb/%7Bid%7D%7C%22%3C%3E%5C%5E%60",
		"/[1];v=1/./../%2e":       "/[1];v=1/./../%2e",
	} {
		check(t, written, want)
	}
	rapid.Check(t, func(rt *rapid.T) {
		written, want := wireTarget(rt)
		check(rt, written, want)
	})
}

// The same over HTTP/2, whose :path is no line.
func TestHTTP2PathIsTheURLAsWritten(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	paths := make(chan string, 1)
	receiver := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"), func(_ http.ResponseWriter, r *http.Request) {
		paths <- fmt.Sprint(r.ProtoMajor, " ", r.RequestURI)
	})
	client := setup(t, egress.Config{RootCAs: a.pool})
	rapid.Check(t, func(rt *rapid.T) {
		written, want := wireTarget(rt)
		res := client.Post(t.Context(), egress.Request{URL: receiver.URL + written, Body: []byte("{}")})
		require.Equal(rt, egress.Succeeded, res.Outcome, res.Error)
		require.Equal(rt, "2 "+want, <-paths)
	})
}
