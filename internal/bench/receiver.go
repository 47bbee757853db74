package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// sentPrefix begins every payload: after it comes the time in Unix nanoseconds at which its event was due to be sent.
const sentPrefix = `{"sent":`

// payload returns a payload of n bytes.
func payload(sent time.Time, n int) []byte {
	p := make([]byte, 0, n)
	p = append(p, sentPrefix...)
	p = strconv.AppendInt(p, sent.UnixNano(), 10)
	p = append(p, `,"text":"`...)
	p = append(p, bytes.Repeat([]byte("x"), n-len(p)-2)...)
	return append(p, `"}`...)
}

// sentAt reads the time in a payload.
func sentAt(head []byte) (time.Time, bool) {
	rest, ok := bytes.CutPrefix(head, []byte(sentPrefix))
	digits, _, ends := bytes.Cut(rest, []byte(","))
	n, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 10, 64) // jsonb, in bare River's jobs, adds a space
	return time.Unix(0, n), ok && ends && err == nil
}

// newHistogram returns a histogram of microseconds from 1 µs to 10 minutes, exact to 3 digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 600_000_000, 3) }

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), h.HighestTrackableValue()))
}

// receipts is what a receiver has counted.
type receipts struct {
	Count       int64 `json:"count"`   // requests that were answered with 200
	Refused     int64 `json:"refused"` // requests that were answered with 500
	FirstNanos  int64 `json:"first_nanos"`
	LastNanos   int64 `json:"last_nanos"`
	ReceiptP50  int64 `json:"receipt_p50"` // microseconds from sent to received
	ReceiptP90  int64 `json:"receipt_p90"`
	ReceiptP99  int64 `json:"receipt_p99"`
	ReceiptP999 int64 `json:"receipt_p999"`
	ReceiptMax  int64 `json:"receipt_max"`
}

// Receiver answers every webhook and counts deliveries by webhook-id and path.
type Receiver struct {
	answer    []byte
	failFirst int
	count     atomic.Int64

	mu      sync.Mutex
	seen    map[receipt]*[2]int32 // taken, refused
	first   time.Time
	last    time.Time
	refused int64
	latency *hdrhistogram.Histogram
}

// receipt is a delivery as its receiver sees it.
type receipt struct {
	id   uuid.UUID
	path string
}

// NewReceiver returns a receiver that answers with so many bytes, after it has refused each delivery so many times.
func NewReceiver(answerBytes, failFirst int) *Receiver {
	return &Receiver{
		answer: bytes.Repeat([]byte("y"), answerBytes), failFirst: failFirst,
		seen: map[receipt]*[2]int32{}, latency: newHistogram(),
	}
}

// Serve receives on a listener until ctx ends. Beside webhooks it answers its benchmark: GET /count, /receipts and
// /ids.
//
// It is HTTP/1.1 without http.Server, which has a second goroutine for each connection and would take as much of the
// processor that it shares with what is measured as the receivers of two webhooks do here.
func (r *Receiver) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()

	for {
		c, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("receiving: %w", err)
		}

		conns.Go(func() {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { _ = c.Close() })()
			r.converse(c)
		})
	}
}

// converse answers the requests of one connection until it ends.
func (r *Receiver) converse(c net.Conn) {
	in, out := bufio.NewReader(c), bufio.NewWriterSize(c, 1<<16)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}

		if req.Header.Get("Expect") == "100-continue" {
			_, _ = out.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
			_ = out.Flush()
		}

		if req.Method == http.MethodPost {
			r.receive(out, req)
		} else {
			r.report(out, req.URL.Path)
		}

		if _, err = io.Copy(io.Discard, req.Body); err != nil || out.Flush() != nil || req.Close {
			return
		}
	}
}

func answer(out *bufio.Writer, status int, body []byte) {
	_, _ = out.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) +
		"\r\nContent-Type: text/plain\r\nContent-Length: ")
	_, _ = out.WriteString(strconv.Itoa(len(body)))
	_, _ = out.WriteString("\r\n\r\n")
	_, _ = out.Write(body)
}

func (r *Receiver) receive(out *bufio.Writer, req *http.Request) {
	var head [64]byte
	n, _ := io.ReadFull(req.Body, head[:])
	_, err := io.Copy(io.Discard, req.Body)
	id, idErr := uuid.Parse(req.Header.Get("webhook-id"))
	sent, ok := sentAt(head[:n])

	switch {
	case err != nil || idErr != nil || !ok:
		answer(out, http.StatusBadRequest, []byte("not a webhook of the benchmark\n"))
	case !r.take(receipt{id, req.URL.Path}, sent, time.Now()):
		answer(out, http.StatusInternalServerError, nil)
	default:
		answer(out, http.StatusOK, r.answer)
	}
}

// report answers the benchmark.
func (r *Receiver) report(out *bufio.Writer, path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch path {
	case "/count":
		answer(out, http.StatusOK, r.counts())
	case "/receipts":
		answer(out, http.StatusOK, r.receipts())
	case "/ids":
		answer(out, http.StatusOK, r.ids())
	default:
		answer(out, http.StatusNotFound, []byte("GET /count, /receipts or /ids\n"))
	}
}

// take counts a request, and says whether to answer it with 200.
func (r *Receiver) take(key receipt, sent, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	seen := r.seen[key]
	if seen == nil {
		seen = new([2]int32)
		r.seen[key] = seen
	}

	if int(seen[1]) < r.failFirst {
		seen[1]++
		r.refused++
		return false
	}

	seen[0]++
	if r.first.IsZero() {
		r.first = now
	}
	r.last = now
	record(r.latency, now.Sub(sent))
	r.count.Add(1)
	return true
}

// counts is the cheap part of receipts, for asking often.
func (r *Receiver) counts() []byte {
	data, _ := json.Marshal(receipts{Count: r.count.Load(), Refused: r.refused})
	return data
}

func (r *Receiver) receipts() []byte {
	all := receipts{
		Count: r.count.Load(), Refused: r.refused,
		ReceiptP50: r.latency.ValueAtQuantile(50), ReceiptP90: r.latency.ValueAtQuantile(90),
		ReceiptP99: r.latency.ValueAtQuantile(99), ReceiptP999: r.latency.ValueAtQuantile(99.9), ReceiptMax: r.latency.Max(),
	}

	if !r.first.IsZero() {
		all.FirstNanos, all.LastNanos = r.first.UnixNano(), r.last.UnixNano()
	}

	data, _ := json.Marshal(all)
	return data
}

// ids is, for each event, its 16 bytes and how many requests were taken and of how many deliveries, as 4 bytes each.
func (r *Receiver) ids() []byte {
	type counts struct{ taken, deliveries uint32 }
	byEvent := make(map[uuid.UUID]counts, len(r.seen))
	for key, seen := range r.seen {
		if seen[0] == 0 {
			continue
		}

		c := byEvent[key.id]
		c.taken += uint32(seen[0]) //nolint:gosec // a count
		c.deliveries++
		byEvent[key.id] = c
	}

	out := make([]byte, 0, 24*len(byEvent))
	for id, c := range byEvent {
		out = append(out, id[:]...)
		out = binary.BigEndian.AppendUint32(out, c.taken)
		out = binary.BigEndian.AppendUint32(out, c.deliveries)
	}
	return out
}

// remote asks a receiver that runs somewhere.
type remote struct {
	url    string
	client *http.Client
}

func newRemote(url string) *remote {
	return &remote{url: url, client: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConnsPerHost: 1},
	}}
}

func (r *remote) get(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}

	res, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the receiver: %w", err)
	}
	return res.Body, nil
}

func (r *remote) receipts(ctx context.Context, path string) (counted receipts, err error) {
	body, err := r.get(ctx, path)
	if err != nil {
		return counted, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&counted); err != nil {
		return counted, fmt.Errorf("reading the receiver's count: %w", err)
	}
	return counted, nil
}

// await waits until the receiver has taken n requests, or has taken none for the time of patience.
func (r *remote) await(ctx context.Context, n int64, patience time.Duration, progress func(int64)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()

	before, since := int64(-1), time.Now()
	for {
		got, err := r.receipts(ctx, "/count")
		if err != nil || got.Count >= n {
			return err
		}

		progress(got.Count)
		if got.Count+got.Refused != before {
			before, since = got.Count+got.Refused, time.Now()
		}
		if time.Since(since) > patience {
			return nil
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// compare counts, of the events that were accepted, the deliveries that did not arrive, and the requests beyond one for
// each delivery.
func (r *remote) compare(ctx context.Context, accepted []uuid.UUID, endpoints int) (lost, duplicates int64, err error) {
	body, err := r.get(ctx, "/ids")
	if err != nil {
		return 0, 0, err
	}
	defer body.Close()

	delivered := make(map[uuid.UUID]uint32, len(accepted))
	for in := bufio.NewReaderSize(body, 1<<16); ; {
		var row [24]byte
		if _, err := io.ReadFull(in, row[:]); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return 0, 0, fmt.Errorf("reading the receiver's log: %w", err)
		}

		taken, deliveries := binary.BigEndian.Uint32(row[16:]), binary.BigEndian.Uint32(row[20:])
		delivered[uuid.UUID(row[:16])] = deliveries
		duplicates += int64(taken) - int64(deliveries)
	}

	for _, id := range accepted {
		lost += max(int64(endpoints)-int64(delivered[id]), 0)
	}
	return lost, duplicates, nil
}
