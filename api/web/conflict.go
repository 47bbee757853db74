package web

import "time"

// Conflict is what was not saved, since somebody else was faster.
type Conflict struct {
	Who, What string // "" for who: nobody whose name is known
	At        time.Time
	Sent      []Header // what the form had otherwise than it is now
	Reload    string
}
