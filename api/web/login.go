package web

// Login is the page that takes a key.
type Login struct {
	Next   string // the page that is shown then
	Fault  string // why the last key was not taken; "": none was given
	Advice string // what to do about a browser that keeps no session
}
