package logthrottle

import (
	"sync"
	"time"
)

// forgetAfter is how long nothing is said of a key before it is forgotten, with the number of what was left out.
const forgetAfter = 10 * time.Minute

// Sampler chooses which lines of many that are alike are written: of each key a few at once, and then one in a while.
// It remembers a bounded number of keys; those beyond it share what one key may have.
type Sampler[K comparable] struct {
	burst int
	every time.Duration
	most  int

	mu    sync.Mutex
	keys  map[K]*said
	rest  said // of all keys that there is no room for
	swept time.Time
}

// said is what was written of a key.
type said struct {
	until   time.Time // when everything that was written is paid for, at one line each Sampler.every
	omitted int       // since the last line
}

// NewSampler returns a Sampler that writes burst lines of a key at once, and then one each every. It remembers at most
// so many keys, in some 100 bytes each beside the key's own.
func NewSampler[K comparable](burst int, every time.Duration, most int) *Sampler[K] {
	return &Sampler[K]{burst: burst, every: every, most: most, keys: make(map[K]*said)}
}

// Allow tells whether a line of a key is to be written now, and if so, how many were left out since the last one.
func (s *Sampler[K]) Allow(key K, now time.Time) (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	of := s.of(key, now)
	if of.until.Sub(now) > time.Duration(s.burst-1)*s.every {
		of.omitted++
		return 0, false
	}

	if of.until.Before(now) {
		of.until = now
	}
	of.until = of.until.Add(s.every)
	omitted, of.omitted = of.omitted, 0
	return omitted, true
}

// of returns what was said of a key. When there is no room for another one, those are forgotten of which nothing was
// said for long; it is looked for them once in a while, since that takes as long as there are keys.
func (s *Sampler[K]) of(key K, now time.Time) *said {
	if of := s.keys[key]; of != nil {
		return of
	}

	if len(s.keys) >= s.most && now.Sub(s.swept) >= s.every {
		s.swept = now
		for k, of := range s.keys {
			if now.Sub(of.until) > forgetAfter || of.omitted == 0 && !of.until.After(now) {
				delete(s.keys, k)
			}
		}
	}
	if len(s.keys) >= s.most {
		return &s.rest
	}

	of := &said{}
	s.keys[key] = of
	return of
}
