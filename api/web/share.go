package web

import "strconv"

// Share is a part of a whole.
type Share struct {
	Label, Tone string
	Count       int
}

// Header is an HTTP header.
type Header struct{ Name, Value string }

// Paging leads through a list. An empty one leads nowhere.
type Paging struct{ First, Next string }

func number(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }
