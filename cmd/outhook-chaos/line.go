package main

import "time"

// bucket is the grain in which lines are kept.
const bucket = 250 * time.Millisecond

// line is a queue, seen from outside: for each moment the oldest of those that were served then, by when they were due.
// As long as somebody is served who was due earlier, one's turn has not come.
type line map[int64]time.Time

// serve notes that one that was due then was served, or kept others from being served, for a time.
func (l line) serve(s span, due time.Time) {
	for b := s.from.UnixNano() / int64(bucket); b <= s.to.UnixNano()/int64(bucket); b++ {
		if oldest, ok := l[b]; !ok || due.Before(oldest) {
			l[b] = due
		}
	}
}

// before returns the times in a span at which somebody was served who was due before then.
func (l line) before(s span, due time.Time) []span {
	var list []span
	for b := s.from.UnixNano() / int64(bucket); b <= s.to.UnixNano()/int64(bucket); b++ {
		if oldest, ok := l[b]; ok && !oldest.After(due) {
			from := time.Unix(0, b*int64(bucket))
			list = append(list, span{later(from, s.from), earlier(from.Add(bucket), s.to)})
		}
	}
	return list
}
