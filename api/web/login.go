package web

// Login is the page that takes a key.
type Login struct {
	Next   string // the page that is shown then
	Fault  string // why the last key was not taken; "": none was given
	Advice string // what to do about a browser that keeps no session

	Provider      string // the host of the identity provider; "": there is none
	ProviderFault string // why it let nobody in; "": nobody has tried
	LoggedOut     bool   // somebody whom the provider let in has logged out
}
