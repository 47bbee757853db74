package main

import "fmt"

// promise is a count that must be 0, with an example of what broke it.
type promise struct {
	name    string
	count   *int
	example string
}

// breach counts one breach and keeps the first as the example.
func (p *promise) breach(format string, args ...any) {
	*p.count++
	if p.example == "" {
		p.example = fmt.Sprintf(format, args...)
	}
}
