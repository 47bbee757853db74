package web

// Confirm is an order of many deliveries, which are counted before it is given.
type Confirm struct {
	Title  string
	Crumbs []Crumb

	// Path and Choice are a form that counts anew. No Choice: nothing can be chosen here.
	Path   string
	Choice []Input

	What  []Header // what is ordered, property by property
	Count Counted
	Order Action // what orders it
	Back  string // where whoever changes their mind goes
}

// Counted is how much an order would do.
type Counted struct {
	Replayed, Endpoints, Skipped int
	Complete                     bool // false: there are at least so many
}

// text says how much is ordered.
func (c Counted) text() string {
	text := Things(c.Replayed, "delivery") + " of " + Things(c.Endpoints, "endpoint")
	if !c.Complete {
		return "at least " + text
	}
	return text
}

// skipped says what would be left alone, or "".
func (c Counted) skipped() string {
	if c.Skipped == 0 {
		return ""
	}
	return Things(c.Skipped, "delivery") +
		" more would be left alone: the endpoint is disabled or deleted, or the payload is gone."
}
