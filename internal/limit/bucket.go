// Package limit bounds how often each of very many clients may do something, in memory and for this process alone.
//
// [Buckets] is all of it: one token bucket for each key or address that was seen lately. [Seconds] turns a wait into
// what an answer can say of it.
package limit

import (
	"container/list"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxBuckets bounds the memory of a set of buckets: about 3 MiB. Beyond it the one that was used least recently is
	// forgotten, which for its owner is as good as full.
	maxBuckets = 10_000

	// maxMarks is how many wrong keys of one address are remembered.
	maxMarks = 8
)

// Buckets are token buckets of keys or addresses: full when first seen. Create them with [New].
type Buckets[K comparable] struct {
	rate  rate.Limit
	burst int
	max   int
	count atomic.Int64 // of buckets, to be read without the lock

	mu     sync.Mutex
	byKey  map[K]*list.Element
	recent *list.List // of bucket[K], the one that was used last in front
}

type bucket[K comparable] struct {
	key     K
	limiter *rate.Limiter
	marks   []uint64
}

// New returns buckets that gain perSecond tokens a second and hold at most burst. It returns nil for a rate of 0 or
// less: no limit.
func New[K comparable](perSecond float64, burst int) *Buckets[K] {
	if perSecond <= 0 {
		return nil
	}
	return &Buckets[K]{
		rate: rate.Limit(perSecond), burst: max(burst, 1), max: maxBuckets,
		byKey: map[K]*list.Element{}, recent: list.New(),
	}
}

// Take takes a token. Returns for how long there is none, or 0 if it was taken.
func (b *Buckets[K]) Take(key K, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	limiter := b.get(key).limiter
	if limiter.AllowN(now, 1) {
		return 0
	}
	return b.wait(limiter, now)
}

// TakeOnce takes a token, if there is one, unless one was taken for this mark lately.
func (b *Buckets[K]) TakeOnce(key K, mark uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()

	k := b.get(key)
	if slices.Contains(k.marks, mark) {
		return
	}

	if len(k.marks) == maxMarks {
		k.marks = slices.Delete(k.marks, 0, 1)
	}
	k.marks = append(k.marks, mark)
	k.limiter.AllowN(now, 1)
}

// Wait returns for how long a bucket has no token, 0 if it has one. It takes none, and makes no bucket.
func (b *Buckets[K]) Wait(key K, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	element := b.byKey[key]
	if element == nil {
		return 0
	}
	return b.wait(b.at(element).limiter, now)
}

// Len returns how many buckets there are. It takes no lock.
func (b *Buckets[K]) Len() int { return int(b.count.Load()) }

func (b *Buckets[K]) wait(limiter *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(b.rate) * float64(time.Second))
}

// get returns the bucket of a key and makes it if there is none.
func (b *Buckets[K]) get(key K) *bucket[K] {
	if element := b.byKey[key]; element != nil {
		b.recent.MoveToFront(element)
		return b.at(element)
	}

	if len(b.byKey) >= b.max {
		oldest := b.recent.Back()
		delete(b.byKey, b.at(oldest).key)
		b.recent.Remove(oldest)
	}

	k := &bucket[K]{key: key, limiter: rate.NewLimiter(b.rate, b.burst)}
	b.byKey[key] = b.recent.PushFront(k)
	b.count.Store(int64(len(b.byKey)))
	return k
}

func (b *Buckets[K]) at(element *list.Element) *bucket[K] {
	return element.Value.(*bucket[K]) //nolint:errcheck // the list holds nothing else
}

// Seconds rounds a wait up to what the header Retry-After can say: whole seconds, at least one.
func Seconds(wait time.Duration) int { return max(int(math.Ceil(wait.Seconds())), 1) }
