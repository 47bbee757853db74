package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// Behaviours of a crowd's endpoints: the first element of their path. The second is the group that they are counted in.
const (
	behaveQuick = "quick" // 200 at once
	behaveHang  = "hang"  // no answer at all
	behaveSlow  = "slow"  // 200 after slowAnswer
	behaveBrief = "brief" // 200 after briefAnswer

	behaveRefuse     = "refuse"      // 500 at once; its requests are kept
	behaveSlowRefuse = "slow-refuse" // 500 after slowRefusal; its requests are kept
	behaveSecond     = "second"      // 500 at once to the first attempt, which is not counted, and 200 to others
)

const (
	// slowAnswer is how long a slow endpoint takes.
	slowAnswer = 2 * time.Second

	// briefAnswer is how long an endpoint takes that does a little.
	briefAnswer = 5 * time.Millisecond

	// slowRefusal is long enough for an endpoint to get a lane.
	slowRefusal = 1200 * time.Millisecond
)

// Request is one that a crowd's receiver has kept.
type Request struct {
	EventID uuid.UUID `json:"event_id"`
	Group   string    `json:"group"`
	Number  int       `json:"number"` // of the attempt
	Nanos   int64     `json:"nanos"`  // of the receipt
}

// GroupCounts is what a crowd's receiver counted of a group of endpoints.
type GroupCounts struct {
	Count      int64   `json:"count"`
	MaxAtOnce  int64   `json:"max_at_once"` // requests that were under way at the same time
	FirstNanos int64   `json:"first_nanos"`
	LastNanos  int64   `json:"last_nanos"`
	ReceiptMS  Latency `json:"receipt_ms"` // from when the event was due to the receipt
}

// seconds returns the time between two counts of a group.
func (g GroupCounts) seconds() float64 { return time.Duration(g.LastNanos - g.FirstNanos).Seconds() }

// crowd is a receiver of many endpoints that behave differently.
type crowd struct {
	mu       sync.Mutex
	groups   map[string]*group
	requests []Request
}

type group struct {
	GroupCounts

	now     int64
	latency *hdrhistogram.Histogram
}

// ServeCrowd is the process of such a receiver: POST /<behaviour>/<group>/<anything>, GET /groups, GET /requests,
// POST /reset. It prints its address to stdout.
func ServeCrowd(ctx context.Context, stdout io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	_, _ = fmt.Fprintf(stdout, "%s%s\n", addressPrefix, l.Addr())

	c := &crowd{groups: map[string]*group{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /reset", c.reset)
	mux.HandleFunc("GET /groups", c.counts)
	mux.HandleFunc("GET /requests", c.kept)
	mux.HandleFunc("POST /", c.receive)

	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()

	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("receiving: %w", err)
	}
	return nil
}

func (c *crowd) receive(w http.ResponseWriter, req *http.Request) {
	var head [64]byte
	n, _ := io.ReadFull(req.Body, head[:])
	_, _ = io.Copy(io.Discard, req.Body)
	sent, ok := sentAt(head[:n])
	path := strings.Split(req.URL.Path, "/")
	if !ok || len(path) < 3 {
		http.Error(w, "not a webhook of the benchmark", http.StatusBadRequest)
		return
	}

	number, _ := strconv.Atoi(req.Header.Get("Outhook-Attempt"))
	if path[1] == behaveSecond && number == 1 {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}

	now := time.Now()
	g := c.begin(path[2], sent, now)
	defer c.end(g)
	c.answer(w, req, path[1], Request{Group: path[2], Number: number, Nanos: now.UnixNano()})
}

// answer does as the endpoint behaves.
func (c *crowd) answer(w http.ResponseWriter, req *http.Request, behaviour string, kept Request) {
	wait, status := time.Duration(0), http.StatusOK
	switch behaviour {
	case behaveHang:
		<-req.Context().Done()
		return
	case behaveSlow:
		wait = slowAnswer
	case behaveBrief:
		wait = briefAnswer
	case behaveRefuse, behaveSlowRefuse:
		status = http.StatusInternalServerError
		c.keep(req, kept)
		if behaviour == behaveSlowRefuse {
			wait = slowRefusal
		}
	}

	if sleepUntil(req.Context(), time.Now().Add(wait)) == nil {
		w.WriteHeader(status)
	}
}

func (c *crowd) keep(req *http.Request, kept Request) {
	id, err := uuid.Parse(req.Header.Get("Webhook-Id"))
	if err != nil {
		return
	}
	kept.EventID = id

	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, kept)
}

func (c *crowd) begin(name string, sent, now time.Time) *group {
	c.mu.Lock()
	defer c.mu.Unlock()

	g := c.groups[name]
	if g == nil {
		g = &group{latency: newHistogram()}
		g.FirstNanos = now.UnixNano()
		c.groups[name] = g
	}

	g.Count++
	g.LastNanos = now.UnixNano()
	record(g.latency, now.Sub(sent))

	g.now++
	g.MaxAtOnce = max(g.MaxAtOnce, g.now)
	return g
}

func (c *crowd) end(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g.now--
}

func (c *crowd) reset(http.ResponseWriter, *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups, c.requests = map[string]*group{}, nil
}

func (c *crowd) counts(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := make(map[string]GroupCounts, len(c.groups))
	for name, g := range c.groups {
		g.ReceiptMS = newLatency(g.latency)
		answer[name] = g.GroupCounts
	}
	answerJSON(w, answer)
}

func (c *crowd) kept(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answerJSON(w, c.requests)
}

func answerJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// groups asks a crowd's receiver what it has counted.
func (r *remote) groups(ctx context.Context) (counts map[string]GroupCounts, err error) {
	err = r.read(ctx, "/groups", &counts)
	return counts, err
}

// requests asks it for those that it has kept.
func (r *remote) requests(ctx context.Context) (list []Request, err error) {
	err = r.read(ctx, "/requests", &list)
	return list, err
}

func (r *remote) read(ctx context.Context, path string, answer any) error {
	body, err := r.get(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()

	if err := json.NewDecoder(body).Decode(answer); err != nil {
		return fmt.Errorf("reading the receiver's answer: %w", err)
	}
	return nil
}

// reset makes it count from 0.
func (r *remote) reset(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/reset", nil)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}

	res, err := r.client.Do(req)
	if err != nil {
		return fmt.Errorf("resetting the receiver: %w", err)
	}
	return res.Body.Close()
}

// awaitGroup waits until so many requests of a group have arrived, and returns the last counts when none has for
// patience.
func (r *remote) awaitGroup(ctx context.Context, name string, n int64) (map[string]GroupCounts, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()

	before, since := int64(-1), time.Now()
	for {
		counts, err := r.groups(ctx)
		if err != nil || counts[name].Count >= n {
			return counts, err
		}

		if counts[name].Count != before {
			before, since = counts[name].Count, time.Now()
		}
		if time.Since(since) > patience {
			return counts, nil
		}

		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}
