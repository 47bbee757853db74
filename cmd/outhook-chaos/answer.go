package main

import (
	"net"
	"net/http"
	"time"
)

const (
	// endpointTimeout is how long workers wait for an answer: the least that an endpoint may have, and a second more
	// since the machine is busy.
	endpointTimeout = 2 * time.Second

	// patience is how many attempts of a delivery may fail by the receiver's doing: fewer than the schedule has.
	patience = 3
)

// answer answers one request: in most cases at once and well, else as drawn from the seed for this attempt.
func (r *receivers) answer(w http.ResponseWriter, req *http.Request, e *endpoint, entry *request) {
	n, m := uint64(max(entry.n, 0)), uint64(e.index<<8|entry.attempt) //nolint:gosec // not negative
	rng := draw(r.seed, streamAnswer, n, m)

	p := rng.IntN(100)
	switch {
	case e.dead:
		r.status(w, entry, http.StatusInternalServerError)
	case r.calm.Load() || entry.attempt > patience || p < 68:
		r.status(w, entry, http.StatusNoContent)
	case p < 78:
		r.status(w, entry, http.StatusInternalServerError)

	case !e.slow && p < 84:
		r.reset(w)
	case !e.slow && p < 87:
		r.resetAfterHeaders(w, entry)
	case !e.slow:
		r.status(w, entry, http.StatusNoContent)

	// Only the slow endpoints get here.
	case p < 82:
		r.status(w, entry, http.StatusTooManyRequests)
	case p < 86: // hang: a paused worker does not hang up, and to return would be to answer 200
		wait(req.Context(), 3*endpointTimeout)
		r.reset(w)
	case p < 90: // reset
		r.reset(w)
	case p < 93: // reset after the headers
		r.resetAfterHeaders(w, entry)
	case p < 95: // too late: it counts for the receiver, and nobody hears it
		wait(req.Context(), endpointTimeout+time.Second)
		r.status(w, entry, http.StatusOK)
	default: // slow
		wait(req.Context(), time.Duration(rng.IntN(1200))*time.Millisecond)
		r.status(w, entry, http.StatusOK)
	}
}

// status answers, and springs the trap that waits for a request that has just been answered with success.
func (r *receivers) status(w http.ResponseWriter, entry *request, status int) {
	r.note(func() { entry.status = status })
	w.WriteHeader(status)
	if status >= 300 {
		return
	}

	if hear := r.afterAnswer.Swap(nil); hear != nil {
		_ = http.NewResponseController(w).Flush() // a worker that is gone already is none the worse
		(*hear)(*entry)
	}
}

func (r *receivers) resetAfterHeaders(w http.ResponseWriter, entry *request) {
	r.note(func() { entry.status = http.StatusOK })
	w.Header().Set("Content-Length", "1000")
	w.WriteHeader(http.StatusOK)

	_ = http.NewResponseController(w).Flush()
	r.reset(w)
}

// reset ends the connection so that the other side reads a reset, not an end.
func (r *receivers) reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}

	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
