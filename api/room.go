package api

import (
	"sync"

	"github.com/google/uuid"

	"github.com/outhook/outhook/internal/problem"
)

// room bounds the request bodies that are held at the same time, by what has come of them and the part that comes
// next: what was only promised takes none. One key gets half of it, so that no key takes it all.
type room struct {
	most    int64 // bytes
	mostKey int64 // of one key

	mu   sync.Mutex
	all  int64
	keys map[uuid.UUID]int64 // without those that hold nothing
}

func newRoom(limits Limits) *room {
	return &room{
		most: int64(limits.MaxHeldBytes), mostKey: int64(max(limits.MaxHeldBytes/2, limits.MaxBatchBytes)),
		keys: make(map[uuid.UUID]int64),
	}
}

// take takes room for n bytes. Give it back.
func (r *room) take(key uuid.UUID, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	switch {
	case r.all+n > r.most:
		return problem.Later(problem.ServerBusy, "the server holds as many requests as it can: repeat the request", 1)
	case r.keys[key]+n > r.mostKey:
		return problem.Later(problem.TooManyRequests,
			"this key's requests hold as much as one key's may: repeat the request", 1)
	}
	r.add(key, n)
	return nil
}

// give gives back room for n bytes.
func (r *room) give(key uuid.UUID, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(key, -n)
}

func (r *room) add(key uuid.UUID, n int64) {
	r.all += n
	r.keys[key] += n
	if r.keys[key] == 0 {
		delete(r.keys, key)
	}
}

// held returns how many bytes are taken.
func (r *room) held() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}
