package api

import (
	"errors"
	"sync"

	"github.com/google/uuid"
)

// holder is who has a share of what all share: a tenant with all its keys, or a key that is bound to none.
type holder struct {
	key      uuid.UUID
	tenantID string
}

func (p principal) holder() holder {
	if p.tenantID != "" {
		return holder{tenantID: p.tenantID}
	}
	return holder{key: p.id}
}

// Errors of quotas.
var (
	errTaken    = errors.New("as much as may is taken")
	errOwnTaken = errors.New("as much as one holder may is taken")
)

// quota bounds what is taken at the same time, and what one holder takes of it, so that nobody takes it all.
type quota struct {
	most, mostOwn int64

	mu  sync.Mutex
	all int64
	own map[holder]int64 // without those that hold nothing
}

func newQuota(most, mostOwn int) *quota {
	return &quota{most: int64(most), mostOwn: int64(mostOwn), own: make(map[holder]int64)}
}

// take takes n. Give it back. Returns errTaken or errOwnTaken if it goes beyond.
func (q *quota) take(h holder, n int64) error {
	q.mu.Lock()
	defer q.mu.Unlock()

	switch {
	case q.own[h]+n > q.mostOwn:
		return errOwnTaken
	case q.all+n > q.most:
		return errTaken
	}
	q.add(h, n)
	return nil
}

// give gives n back.
func (q *quota) give(h holder, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(h, -n)
}

func (q *quota) add(h holder, n int64) {
	q.all += n
	q.own[h] += n
	if q.own[h] == 0 {
		delete(q.own, h)
	}
}

// held returns how much is taken.
func (q *quota) held() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.all
}

// newRoom returns the quota of request bodies that are held at the same time, in bytes, by what has come of them and
// the part that comes next: what was only promised takes none.
func newRoom(limits Limits) *quota {
	return newQuota(limits.MaxHeldBytes, max(limits.MaxHeldBytes/2, limits.MaxBatchBytes))
}
