package main

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// lateBound is how late an attempt may be while a worker lives, and pacerBound how much later once in a lane when the
	// process that paces it may have died or frozen.
	lateBound  = 2 * time.Second
	pacerBound = 15 * time.Second

	// clockError is how exact a worker knows the database's clock, and arrivalError our own on arrivals.
	clockError   = 100 * time.Millisecond
	arrivalError = 20 * time.Millisecond

	// takenForDead is how long a run must have been in somebody's hands before others may have gone on without it.
	takenForDead = 5 * time.Second

	// queueError is how much earlier or later than by their times two may be served.
	queueError = 500 * time.Millisecond

	// endBound is how long after the answer that an endpoint is disabled or deleted a request to it may leave.
	endBound = 2 * time.Second
)

// punctuality compares when attempts left with when they were due.
type punctuality struct {
	*audit

	journal  *journal
	watch    *watch
	workers  []*node
	troubles map[string]spans   // when each of them could not work
	away     spans              // no worker could work
	clocks   spans              // somebody's clock was just set
	unpaced  spans              // nobody paced the lanes
	holders  map[string]*holder // by River's name
	shared   line               // without bursts
	bursts   line               // with them
	lanes    map[uuid.UUID]line
	lateness map[class][]time.Duration
	log      strings.Builder
}
