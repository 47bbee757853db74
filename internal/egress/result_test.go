package egress_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/outhook/outhook/internal/egress"
)

func TestBodyIsKeptUpToTheLimit(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("\x00\xffé\n"), 8000)
	for name, c := range map[string]struct{ keep, length, want int }{
		"None":         {0, 0, 0},
		"Short":        {0, 10, 10},
		"Default":      {0, 1024, 1024},
		"OneOver":      {0, 1025, 1024},
		"LongOver":     {0, 30000, 1024},
		"Configured":   {7, 8, 7},
		"MaximumOver":  {16384, 16385, 16384},
		"MaximumExact": {16384, 16384, 16384},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, code := range []int{200, 500} {
				receiver := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(code)
					w.Write(body[:c.length])
				})
				res := post(t, setup(t, egress.Config{KeepBytes: c.keep}), receiver.URL)
				require.Equal(t, code, res.StatusCode)
				require.True(t, bytes.Equal(body[:c.want], res.Body))
				require.Equal(t, c.length > c.want, res.BodyTruncated)
			}
		})
	}
}

// A character is kept whole or not at all, where the limit ends it and where the connection does. What is no UTF-8 is kept
// to the last byte.
func TestABodyIsNotCutInsideACharacter(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{KeepBytes: 64})
	for _, c := range []string{"é", "€", "😀", "e\u0301"} {
		for shift := range 5 {
			text := strings.Repeat("x", shift) + strings.Repeat(c, 600)
			broken := serveRaw(t, answerRaw("HTTP/1.1 500 x\r\nContent-Length: 60\r\n\r\n"+text[:30]))
			longer := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(text)) })
			for _, url := range []string{broken.url, longer.URL} {
				res := post(t, client, url)
				require.True(t, res.BodyTruncated)
				require.True(t, utf8.Valid(res.Body), "%q", res.Body)
				require.True(t, strings.HasPrefix(text, string(res.Body)))
				require.GreaterOrEqual(t, len(res.Body), 27)
			}
		}
	}

	for _, text := range []string{
		strings.Repeat("\xe9", 200), strings.Repeat("\x80", 200), strings.Repeat("\xf0\x9f", 200), strings.Repeat("\xc3a", 200),
		strings.Repeat("x", 63) + strings.Repeat("\xe9 ", 9),
	} {
		receiver := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(text)) })
		require.Equal(t, text[:64], string(post(t, client, receiver.URL).Body))
	}
	whole := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x\xc3")) })
	res := post(t, client, whole.URL)
	require.Equal(t, "x\xc3", string(res.Body))
	require.False(t, res.BodyTruncated)
}

// What must not be kept is looked for before anything is cut, in what stands behind the end of what is kept too, and told
// whether more was to come.
func TestWhatIsConcealedIsNotKept(t *testing.T) {
	t.Parallel()
	client := setup(t, egress.Config{KeepBytes: 64})
	for name, c := range map[string]struct {
		body  string
		want  string
		whole bool
		cut   bool
	}{
		"None":    {"ok", "ok", true, false},
		"Within":  {"a s3cret b", "a [gone] b", true, false},
		"AtEnd":   {strings.Repeat("x", 60) + "s3cret" + "y", strings.Repeat("x", 60) + "[gon", true, true},
		"Shrinks": {strings.Repeat("s3cret", 11), strings.Repeat("[gone]", 11)[:64], true, true},
		"Long":    {strings.Repeat("x", 63) + "s3cret" + strings.Repeat("y", 5000), strings.Repeat("x", 63) + "[", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Server", strings.Repeat("z", 252)+"s3cret")
				w.Header().Set("X-Request-Id", "r1")
				w.Write([]byte(c.body))
			})
			seen := map[string]bool{}
			res := postRequest(t, client, egress.Request{
				URL: receiver.URL, Body: []byte("{}"), Conceal: func(name string, text []byte, whole bool) []byte {
					seen[name] = whole
					return bytes.ReplaceAll(text, []byte("s3cret"), []byte("[gone]"))
				},
			})
			require.Equal(t, egress.Succeeded, res.Outcome)
			require.Equal(t, c.want, string(res.Body))
			require.Equal(t, c.cut, res.BodyTruncated)
			require.Equal(t, c.whole, seen[""])
			require.True(t, seen["X-Request-Id"])
			require.Equal(t, strings.Repeat("z", 252)+"[gon", res.Header.Get("Server"))
			require.Equal(t, "r1", res.Header.Get("X-Request-Id"))
		})
	}
}

// The receiver sends a gigabyte as fast as it is taken. How much it got rid of bounds what we can have held: over
// HTTP/2 that is the stream's window, over HTTP/1 the kernel's socket buffers, which are not ours.
func TestEndlessBodyIsCutOff(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for name, c := range map[string]struct {
		protocol string
		most     int64
	}{"HTTP1": {"http/1.1", 64 << 20}, "HTTP2": {"h2", 320 << 10}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := make(chan int64, 1)
			receiver := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), c.protocol),
				func(w http.ResponseWriter, _ *http.Request) { sent <- sendUpTo(w, 1<<30) })
			res := post(t, setup(t, egress.Config{RootCAs: a.pool}), receiver.URL)
			require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
			require.Len(t, res.Body, 1024)
			require.True(t, res.BodyTruncated)
			require.Less(t, <-sent, c.most)
		})
	}
}

func sendUpTo(w io.Writer, limit int64) int64 {
	chunk, sent := make([]byte, 16<<10), int64(0)
	for sent < limit {
		n, err := w.Write(chunk)
		sent += int64(n)
		if err != nil {
			break
		}
	}
	return sent
}

func TestCompressedBodyStaysCompressed(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	sendUpTo(z, 10<<20)
	require.NoError(t, z.Close())
	accepted := make(chan string, 1)
	receiver := serve(t, func(w http.ResponseWriter, r *http.Request) {
		accepted <- r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb.Bytes())
	})
	res := post(t, setup(t, egress.Config{}), receiver.URL)
	require.Equal(t, egress.Succeeded, res.Outcome)
	require.Equal(t, bomb.Bytes()[:1024], res.Body)
	require.Empty(t, <-accepted)
}

// A 2xx whose body breaks is no success; another status was a no already.
func TestBodyThatBreaks(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nServer: x\r\n"
	cases := map[string]struct {
		answer string
		want   egress.Outcome
		text   string
		body   string
	}{
		"CutInContentLength": {
			head + "Content-Length: 100\r\n\r\nshort", egress.Unreachable, "connection_closed: in the response body", "short",
		},
		"CutInChunk": {
			head + "Transfer-Encoding: chunked\r\n\r\n10\r\nshort", egress.Unreachable, "connection_closed: in the response body", "short",
		},
		"CutBetweenChunks": {
			head + "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", egress.Unreachable, "connection_closed: in the response body", "short",
		},
		"MalformedChunk": {
			head + "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\ns3cret\r\n", egress.Unreachable,
			"protocol: the response body is malformed", "short",
		},
		"EndsWithTheConnection": {head + "\r\nshort", egress.Succeeded, "", "short"},
		"CutBehindTheDrained": {
			head + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 128<<10), egress.Succeeded, "", strings.Repeat("x", 1024),
		},
		"CutInTheDrained": {
			head + "Content-Length: 1000000\r\n\r\n" + strings.Repeat("x", 32<<10), egress.Unreachable,
			"connection_closed: in the response body", strings.Repeat("x", 1024),
		},
		"CutInARejection": {
			"HTTP/1.1 410 Gone\r\nContent-Length: 100\r\n\r\nshort", egress.Rejected, "status: 410 Gone", "short",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serveRaw(t, answerRaw(c.answer))
			res := post(t, setup(t, egress.Config{}), receiver.url)
			require.Equal(t, c.want, res.Outcome, res.Error)
			require.Equal(t, c.text, res.Error)
			require.Equal(t, c.body, string(res.Body))
			require.Equal(t, name != "EndsWithTheConnection", res.BodyTruncated)
			require.NotZero(t, res.StatusCode)
			require.True(t, res.Sent)
			require.Equal(t, receiver.address, res.RemoteAddr)
		})
	}
}

func TestDrippingBodyEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	for _, code := range []int{200, 500} {
		receiver := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			ticker := time.NewTicker(10 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-r.Context().Done():
					return
				case <-ticker.C:
					w.Write([]byte("."))
					flush(w)
				}
			}
		})
		res := postRequest(t, setup(t, egress.Config{}), egress.Request{
			URL: receiver.URL, Body: []byte("{}"), Timeout: 300 * time.Millisecond,
		})
		require.Equal(t, code, res.StatusCode)
		require.NotEmpty(t, res.Body)
		require.True(t, res.BodyTruncated)
		require.GreaterOrEqual(t, res.Duration, 300*time.Millisecond)
		if code == 200 {
			require.Equal(t, egress.TimedOut, res.Outcome)
			require.Equal(t, "timeout: reading the response body", res.Error)
		} else {
			require.Equal(t, egress.Rejected, res.Outcome)
		}
	}
}

func TestOnlySafeHeadersAreKept(t *testing.T) {
	t.Parallel()
	receiver := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Content-Type": "text/plain; charset=utf-8", "Server": "nginx", "X-Request-Id": "r1", "Cf-Ray": "c1", "Retry-After": "7",
			"Date": "Tue, 15 Nov 1994 08:12:31 GMT", "Set-Cookie": "s3cret=1", "Location": "/s3cret", "Www-Authenticate": "s3cret",
			"X-Anything": "s3cret", "Link": "s3cret",
		} {
			w.Header().Set(name, value)
		}
		w.Header().Add("X-Request-Id", "r2")
		w.Write([]byte("ok"))
	})
	res := post(t, setup(t, egress.Config{}), receiver.URL)
	require.Equal(t, http.Header{
		"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"2"}, "Server": {"nginx"}, "X-Request-Id": {"r1"},
		"Cf-Ray": {"c1"}, "Retry-After": {"7"}, "Date": {"Tue, 15 Nov 1994 08:12:31 GMT"},
	}, res.Header)
	require.Equal(t, "7", res.RetryAfter)
}

// Postgres takes neither NUL nor invalid UTF-8 in text: an attempt that can't be logged is sent again for ever.
func TestHeaderValuesFitATextColumn(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"NUL":         "a\x00b",
		"Control":     "a\x1b[31mb\x7f",
		"InvalidUTF8": "a\xff\xfeb",
		"CutRune":     strings.Repeat("a", 255) + "éé",
		"Long":        strings.Repeat("x", 10_000),
		"AllInvalid":  strings.Repeat("\xff", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serveRaw(t, answerRaw(
				"HTTP/1.1 200 OK\r\nServer: "+value+"\r\nRetry-After: "+value+"\r\nContent-Length: 4\r\n\r\n\x00\xff\x00\xfe",
			))
			res := post(t, setup(t, egress.Config{}), receiver.url)
			requirePrintable(t, res.RetryAfter)
			require.LessOrEqual(t, len(res.RetryAfter), 256)
			if res.Outcome == egress.Succeeded {
				require.Equal(t, "\x00\xff\x00\xfe", string(res.Body))
				require.NotEmpty(t, res.RetryAfter)
			} else {
				require.Contains(t, res.Error, "protocol: ")
			}
		})
	}
}

// 1xx answers may come before the real one, without end if nobody counts.
func TestFloodOfInformationalAnswersIsBounded(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"EarlyHints": "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
		"Continue":   "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serveRaw(t, func(conn net.Conn) {
				for ok := readRequest(bufio.NewReader(conn)); ok; {
					_, err := io.WriteString(conn, line)
					ok = err == nil
				}
			})
			res := post(t, setup(t, egress.Config{}), receiver.url)
			require.Equal(t, egress.Unreachable, res.Outcome)
			require.Contains(t, res.Error, "protocol: ")
		})
	}
	t.Run("HTTP2", func(t *testing.T) {
		t.Parallel()
		a := newAuthority(t)
		receiver := serveTLS(t, a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"),
			func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					w.WriteHeader(http.StatusEarlyHints)
				}
			})
		res := post(t, setup(t, egress.Config{RootCAs: a.pool}), receiver.URL)
		require.Equal(t, egress.Unreachable, res.Outcome)
		require.Contains(t, res.Error, "http2: ")
	})
}

func TestAFewInformationalAnswersAreSkipped(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, answerRaw(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 3)+
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	res := post(t, setup(t, egress.Config{}), receiver.url)
	require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	require.Equal(t, "ok", string(res.Body))
}

func TestSwitchOfProtocolsIsRejectedAtOnce(t *testing.T) {
	t.Parallel()
	receiver := serveRaw(t, func(conn net.Conn) {
		if readRequest(bufio.NewReader(conn)) {
			write(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			untilClosed(conn)
		}
	})
	res := post(t, setup(t, egress.Config{}), receiver.url)
	require.Equal(t, egress.Rejected, res.Outcome)
	require.Equal(t, "status: 101 Switching Protocols", res.Error)
	require.Less(t, res.Duration, 10*time.Second)
}

func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	for kib, want := range map[int]egress.Outcome{60: egress.Succeeded, 80: egress.Unreachable} {
		t.Run(strconv.Itoa(kib), func(t *testing.T) {
			t.Parallel()
			receiver := serveRaw(t, answerRaw(
				"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "+strings.Repeat("x", kib<<10)+"\r\n\r\n",
			))
			res := post(t, setup(t, egress.Config{}), receiver.url)
			require.Equal(t, want, res.Outcome, res.Error)
		})
	}
}

// FuzzAnswer lets a receiver answer with any bytes: the result must stay fit to be stored.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nServer: x\r\n\r\n", "HTTP/1.0 500\r\n\r\n\x00",
		"HTTP/1.1 103 x\r\n\r\nHTTP/1.1 429 \xff\r\nRetry-After: \xff\x1b\r\n\r\n", "HTTP/1.1 101 x\r\n\r\n", "\x16\x03\x01", "",
		"HTTP/2.0 200 OK\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 99999 x\r\n\r\n",
		"POST " + secretPath + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add(answer)
	}
	answers := make(chan string, 1)
	receiver := serveRaw(f, func(conn net.Conn) {
		if !readRequest(bufio.NewReader(conn)) {
			return
		}
		write(conn, <-answers)
		if tcp, ok := conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
			untilClosed(conn)
		}
	})
	client, err := egress.New(egress.Config{Allow: loopback()})
	require.NoError(f, err)
	f.Cleanup(client.Close)
	f.Fuzz(func(t *testing.T, answer string) {
		answers <- answer
		res := client.Post(t.Context(), egress.Request{
			URL: receiver.url + secretPath, Body: []byte("{}"),
		})
		requireSound(t, res)
		require.NotEqual(t, egress.Blocked, res.Outcome)
		require.NotEqual(t, egress.TimedOut, res.Outcome)
		if res.Outcome == egress.Succeeded || res.Outcome == egress.Rejected {
			require.NotZero(t, res.StatusCode)
		}
		client.Close()
	})
}
