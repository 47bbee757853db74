package share

import (
	"errors"
	"sync"
)

// Errors of quotas.
var (
	ErrTaken    = errors.New("as much as may is taken")
	ErrOwnTaken = errors.New("as much as one holder may is taken")
)

// Quota bounds what is taken at the same time, and what one holder takes of it. Create it with [NewQuota].
type Quota struct {
	most, mostOwn int64

	mu  sync.Mutex
	all int64
	own map[Holder]int64 // without those that hold nothing
}

// NewQuota returns a quota of most, of which one holder may take mostOwn.
func NewQuota(most, mostOwn int) *Quota {
	return &Quota{most: int64(most), mostOwn: int64(mostOwn), own: make(map[Holder]int64)}
}

// Take takes n. Give it back. Returns ErrTaken or ErrOwnTaken if it goes beyond.
func (q *Quota) Take(h Holder, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()

	switch {
	case q.own[h]+n > q.mostOwn:
		return ErrOwnTaken
	case q.all+n > q.most:
		return ErrTaken
	}
	q.add(h, n)
	return nil
}

// Give gives n back.
func (q *Quota) Give(h Holder, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(h, -n)
}

func (q *Quota) add(h Holder, n int64) {
	q.all += n
	q.own[h] += n
	if q.own[h] == 0 {
		delete(q.own, h)
	}
}

// Held returns how much is taken.
func (q *Quota) Held() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all
}
