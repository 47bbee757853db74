package main

import "time"

// holder is a process by the name that River knows it by.
type holder struct {
	trouble spans     // when it could not work
	until   time.Time // when it ended; zero: it did not
}

// findHolders finds out which process has which name: the one that sent the request of a run that was in its hands.
func (p *punctuality) findHolders() {
	p.holders = map[string]*holder{}
	for key, list := range p.holds {
		for _, h := range list {
			requests := p.byAttempt[attemptKey{key, h.number}]
			if h.number == 0 || p.holders[h.holder] != nil || len(requests) != 1 {
				continue
			}
			p.holders[h.holder] = p.newHolder(requests[0])
		}
	}
}

func (p *punctuality) newHolder(sent request) *holder {
	found := &holder{trouble: p.troubles[sent.worker]}
	for _, n := range p.workers {
		if n.name != sent.worker {
			continue
		}
		for _, at := range n.ends {
			if at.After(sent.at) && found.until.IsZero() {
				found.until = at
			}
		}
	}
	return found
}

// helpless returns the part of a hold in which nothing could come of it: the one that had the run in its hands could
// not work, or we do not know who it was.
func (p *punctuality) helpless(h hold) spans {
	who := p.holders[h.holder]
	if who == nil {
		return spans{h.span}
	}

	list := who.trouble.during(h.span)
	if !who.until.IsZero() {
		list = append(list, spans{{later(h.from, who.until), h.to}}.during(h.span)...)
	}
	return join(list...)
}
