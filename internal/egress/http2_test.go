package egress_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/outhook/outhook/internal/egress"
)

// http2Answer writes the frames that end a stream, or do something worse.
type http2Answer func(f *http2.Framer, stream uint32) error

// http2Receiver answers HTTP/2 requests frame by frame, after it has read the whole request.
type http2Receiver struct {
	*rawReceiver
	requests atomic.Int64
}

func serveHTTP2(t testing.TB, a *authority, answer http2Answer) *http2Receiver {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2"))
	require.NoError(t, err)
	r := &http2Receiver{}
	r.rawReceiver = serveListener(t, listener, func(conn net.Conn) { r.serve(conn, answer) })
	r.url = "https://" + r.address
	return r
}

// serveBoth does the same, and answers HTTP/1.1 with 204.
func serveBoth(t testing.TB, a *authority, answer http2Answer) *http2Receiver {
	t.Helper()
	cfg := a.config(t, "127.0.0.1", time.Now().Add(time.Hour), "h2", "http/1.1")
	listener, err := tls.Listen("tcp", "127.0.0.1:0", cfg)
	require.NoError(t, err)
	r := &http2Receiver{}
	r.rawReceiver = serveListener(t, listener, func(conn net.Conn) {
		secure, ok := conn.(*tls.Conn)
		if !ok || secure.HandshakeContext(t.Context()) != nil {
			return
		}
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			r.serve(conn, answer)
			return
		}
		for in := bufio.NewReader(conn); readRequest(in); {
			write(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	r.url = "https://" + r.address
	return r
}

func (r *http2Receiver) serve(conn net.Conn, answer http2Answer) {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	framer := http2.NewFramer(conn, conn)
	for err := framer.WriteSettings(); err == nil; {
		err = r.serveFrame(framer, answer)
	}
}

func (r *http2Receiver) serveFrame(framer *http2.Framer, answer http2Answer) error {
	frame, err := framer.ReadFrame()
	if err != nil {
		return err
	}
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return framer.WriteSettingsAck()
		}
	case *http2.DataFrame:
		if f.StreamEnded() {
			r.requests.Add(1)
			return answer(framer, f.StreamID)
		}
	}
	return nil
}

// writeStatus writes the headers of an answer and ends the stream if there is no body.
func writeStatus(f *http2.Framer, stream uint32, status string, endStream bool) error {
	var block bytes.Buffer
	err := hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: status})
	return errors.Join(err, f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: endStream,
	}))
}

func answerOK(f *http2.Framer, stream uint32) error { return writeStatus(f, stream, "200", true) }

// What a receiver says that it has not processed is sent again at once; all else may have been.
func TestHTTP2RequestIsSentAgainOnlyIfItWasNotProcessed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http2Answer
		again  bool
	}{
		"RefusedStream": {func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
		}, true},
		"GoAway": {func(f *http2.Framer, _ uint32) error { return f.WriteGoAway(0, http2.ErrCodeNo, nil) }, true},
		"GoAwayWithAnError": {func(f *http2.Framer, _ uint32) error {
			return f.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
		}, true},
		"GoAwayBehindIt": {func(f *http2.Framer, stream uint32) error {
			return errors.Join(f.WriteGoAway(stream, http2.ErrCodeNo, nil), io.EOF)
		}, false},
		"ProtocolError": {func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeProtocol)
		}, false},
		"InternalError": {func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeInternal)
		}, false},
		"Closed": {func(*http2.Framer, uint32) error { return io.EOF }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t)
			var refused atomic.Bool
			once := func(f *http2.Framer, stream uint32) error {
				if !refused.Swap(true) {
					return c.answer(f, stream)
				}
				return answerOK(f, stream)
			}
			receiver := serveHTTP2(t, a, once)
			client := setup(t, egress.Config{RootCAs: a.pool})
			res := post(t, client, receiver.url)
			require.True(t, res.Sent)
			require.Equal(t, receiver.address, res.RemoteAddr)
			if c.again {
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
				require.EqualValues(t, 2, receiver.requests.Load())
				require.EqualValues(t, 2, receiver.conns.Load())
				return
			}
			require.Equal(t, egress.Unreachable, res.Outcome, res.Error)
			require.Contains(t, res.Error, "http2: ")
			require.EqualValues(t, 1, receiver.requests.Load())
		})
	}
}

// A receiver that refuses all is not asked for ever.
func TestHTTP2RefusalIsTakenForAnAnswerInTheEnd(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	receiver := serveHTTP2(t, a, func(f *http2.Framer, stream uint32) error {
		return f.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
	})
	res := post(t, setup(t, egress.Config{RootCAs: a.pool}), receiver.url)
	require.Equal(t, egress.Unreachable, res.Outcome)
	require.Equal(t, "http2: the receiver refused the request, on each of several connections", res.Error)
	require.EqualValues(t, 3, receiver.requests.Load())
}

// HTTP_1_1_REQUIRED, which IIS says where it wants a certificate of the client.
func TestReceiverThatWantsHTTP1GetsIt(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	for name, answer := range map[string]http2Answer{
		"Stream": func(f *http2.Framer, stream uint32) error {
			return f.WriteRSTStream(stream, http2.ErrCodeHTTP11Required)
		},
		"Connection": func(f *http2.Framer, stream uint32) error {
			return errors.Join(f.WriteGoAway(stream, http2.ErrCodeHTTP11Required, nil), io.EOF)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := serveBoth(t, a, answer)
			client := setup(t, egress.Config{RootCAs: a.pool})
			res := post(t, client, receiver.url)
			require.Equal(t, "http2: the receiver asks for HTTP/1.1, which the next attempt speaks", res.Error)
			for range 3 {
				res = post(t, client, receiver.url)
				require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
			}
			require.EqualValues(t, 1, receiver.requests.Load(), "over HTTP/2")
		})
	}
}

func TestHTTP2ConnectionThatSaysGoodbyeIsReplaced(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	receiver := serveHTTP2(t, a, func(f *http2.Framer, stream uint32) error {
		return errors.Join(f.WriteGoAway(stream, http2.ErrCodeNo, nil), answerOK(f, stream))
	})
	client := setup(t, egress.Config{RootCAs: a.pool})
	for range 3 {
		res := post(t, client, receiver.url)
		require.Equal(t, egress.Succeeded, res.Outcome, res.Error)
	}
	require.EqualValues(t, 3, receiver.requests.Load())
	require.EqualValues(t, 3, receiver.conns.Load())
}

func TestHTTP2ConnectionIsShared(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	receiver := serveHTTP2(t, a, answerOK)
	client := setup(t, egress.Config{RootCAs: a.pool, IdleTimeout: time.Minute})
	for range 3 {
		require.Equal(t, egress.Succeeded, post(t, client, receiver.url).Outcome)
	}
	require.EqualValues(t, 1, receiver.conns.Load())
}

func TestHTTP2BodyThatBreaksIsNoSuccess(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	receiver := serveHTTP2(t, a, func(f *http2.Framer, stream uint32) error {
		return errors.Join(
			writeStatus(f, stream, "202", false),
			f.WriteData(stream, false, []byte("short")),
			f.WriteRSTStream(stream, http2.ErrCodeInternal),
		)
	})
	res := post(t, setup(t, egress.Config{RootCAs: a.pool}), receiver.url)
	require.Equal(t, egress.Unreachable, res.Outcome)
	require.Equal(t, "http2: the receiver ended the stream in the body", res.Error)
	require.Equal(t, 202, res.StatusCode)
	require.Equal(t, "short", string(res.Body))
	require.True(t, res.BodyTruncated)
}
