package web

// Find is what a text was found to be.
type Find struct {
	Query string
	Found []Found
}

// Found is one thing.
type Found struct{ Kind, Name, Detail, Href, Icon string }
