package web

// Find is what a text was found to be.
type Find struct {
	Query     string
	Fields    []Input
	AnyTenant bool // it was looked for everywhere
	Found     []Found
	More      string // a list of all endpoints that it is the host of; "": these are all
}

// Found is one thing.
type Found struct{ Kind, Name, Detail, Href, Icon string }
