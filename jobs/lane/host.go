package lane

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/outhook/outhook/internal/limit"
)

const (
	// hostPatience is how long a run keeps its slot while it waits for its tenant's other requests to the host. A host
	// that answers in 5 ms works off thousands in that time; for one that takes longer, few wait.
	hostPatience = 250 * time.Millisecond

	// minHold and maxHold bound for how long a run that is refused is set aside.
	minHold = time.Second
	maxHold = 10 * time.Minute
)

// Site is a host as the endpoints of one tenant name it, whichever of its ports they lead to.
type Site struct{ TenantID, Host string }

// Hosts bounds how many requests of one tenant to one host are under way in this process, and how many of them begin a
// second, whatever endpoints they are of: a tenant with a thousand endpoints on somebody's server must not bring it
// down. Half of the places are for endpoints whose last answer came within a second, so that slow ones leave places to
// the others on their host.
type Hosts struct {
	most  int
	every time.Duration        // from one request to the next by the rate
	rates *limit.Buckets[Site] // nil: no bound

	mu    sync.Mutex
	sites map[Site]*site
}

// site is the requests of one tenant to one host.
type site struct {
	count   int           // under way
	waiting []*entrant    // first in, first out
	movedAt time.Time     // when one ended, or all places were taken
	took    time.Duration // how long they take, smoothed over 8 of them
	turnAt  time.Time     // when the last of those that were set aside comes again
}

// entrant waits for a place.
type entrant struct {
	quick bool
	turn  chan struct{} // closed when it has one
}

// NewHosts returns what bounds requests to most under way, 2 or more, and perSecond a second; perSecond 0: no bound.
func NewHosts(most int, perSecond float64) *Hosts {
	h := &Hosts{most: most, rates: limit.New[Site](perSecond, int(perSecond)), sites: make(map[Site]*site)}
	if h.rates != nil {
		h.every = time.Duration(float64(time.Second) / perSecond)
	}
	return h
}

// Enter waits until one more request to a site may start, which Leave ends. quick: its endpoint's last answer came
// within a second. If it would have to wait for long it may not start: then hold is more than 0, and for so long the
// run is to be set aside. The turns of those that are set aside are as far apart as the host's requests. Returns ctx's
// error if that ends first.
func (h *Hosts) Enter(ctx context.Context, key Site, quick bool) (hold time.Duration, err error) {
	e, hold := h.ask(key, quick)
	if e == nil {
		return hold, nil
	}

	timer := time.NewTimer(hostPatience)
	defer timer.Stop()
	select {
	case <-e.turn:
		return 0, nil
	case <-timer.C:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-e.turn: // at this very moment
		return 0, nil
	default:
	}

	s := h.site(key)
	s.waiting = slices.DeleteFunc(s.waiting, func(w *entrant) bool { return w == e })
	return h.refuse(s, time.Now()), err
}

// ask gives a request a place, an entrant that waits for one, or a time to come again.
func (h *Hosts) ask(key Site, quick bool) (*entrant, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()

	s, now, most := h.site(key), time.Now(), h.places(quick)
	switch wait := time.Duration(len(s.waiting)+1) * s.took / time.Duration(most); {
	case h.rates != nil && h.rates.Take(key, now) > 0:
		return nil, h.refuse(s, now)
	case s.count < most:
		s.start(now, most)
		return nil, 0
	case wait > hostPatience, now.Sub(s.movedAt) >= hostPatience:
		return nil, h.refuse(s, now)
	}

	e := &entrant{quick: quick, turn: make(chan struct{})}
	s.waiting = append(s.waiting, e)
	return e, 0
}

// Leave ends a request that entered, and took d of the host's time.
func (h *Hosts) Leave(key Site, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()

	s, now := h.site(key), time.Now()
	s.count--
	s.movedAt = now
	s.took += (d - s.took) / 8

	s.waiting = slices.DeleteFunc(s.waiting, func(e *entrant) bool {
		most := h.places(e.quick)
		if s.count >= most {
			return false
		}
		s.start(now, most)
		close(e.turn)
		return true
	})
	if s.idle() && !s.turnAt.After(now) {
		delete(h.sites, key)
	}
}

// places returns how many requests may be under way for one more to start.
func (h *Hosts) places(quick bool) int {
	if quick {
		return h.most
	}
	return h.most / 2
}

// refuse returns for how long a run is to be set aside. While nobody knows how long requests take, it is a second.
func (h *Hosts) refuse(s *site, now time.Time) time.Duration {
	took := s.took
	if took == 0 {
		took = time.Second
	}
	if earliest := now.Add(minHold); s.turnAt.Before(earliest) {
		s.turnAt = earliest
	}

	s.turnAt = s.turnAt.Add(max(took/time.Duration(h.most), h.every))
	if latest := now.Add(maxHold); s.turnAt.After(latest) {
		s.turnAt = latest
	}
	return s.turnAt.Sub(now)
}

func (h *Hosts) site(key Site) *site {
	if s := h.sites[key]; s != nil {
		return s
	}
	if len(h.sites) >= maxIdleFlows {
		maps.DeleteFunc(h.sites, func(_ Site, s *site) bool { return s.idle() })
	}

	s := &site{movedAt: time.Now()}
	h.sites[key] = s
	return s
}

func (s *site) start(now time.Time, most int) {
	if s.count++; s.count == most {
		s.movedAt = now
	}
}

func (s *site) idle() bool { return s.count == 0 && len(s.waiting) == 0 }
