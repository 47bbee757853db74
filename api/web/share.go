package web

import "strconv"

// Share is a part of a bar.
type Share struct {
	Label, Tone string
	Count       int
}

// Header is an HTTP header.
type Header struct{ Name, Value string }

// Paging leads through a list. An empty one leads nowhere.
type Paging struct{ First, Next string }

type laidOutShare struct {
	Share

	from, width float64
}

// laidOut places the parts beside one another, 1,000 wide. What is there is seen.
func laidOut(parts []Share) (placed []laidOutShare) {
	total := 0
	for _, p := range parts {
		total += p.Count
	}

	at := 0.0
	for _, p := range parts {
		if p.Count == 0 {
			continue
		}
		width := max(1000*float64(p.Count)/float64(total), 4)
		placed = append(placed, laidOutShare{Share: p, from: at, width: width})
		at += width
	}
	return placed
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
