package web

// Form is a form that is a page's whole content. Its fields may be textarea and checkboxes too.
type Form struct {
	Path   string // where it is posted to
	Submit string // the button's label
	Back   string // where whoever changes their mind goes
	Hidden []Input
	Groups []FieldGroup

	// Other is the label of a second button, which posts the form to OtherPath. "": there is none. Said is what came of
	// it.
	Other, OtherPath, Said string

	// Hints are what fields with a List offer, by its id.
	Hints map[string][]string

	// Fault is what is wrong with the whole of it. "": nothing.
	Fault string
}

// FieldGroup is some of a form's fields with a title.
type FieldGroup struct {
	Title, Text string
	Fields      []Input
}

// faults counts the fields that something is wrong with.
func (f Form) faults() (n int) {
	for _, group := range f.Groups {
		for _, in := range group.Fields {
			if in.Fault != "" {
				n++
			}
		}
	}
	return n
}

func (in Input) id() string { return "field-" + in.Name }

// described names what stands below a field.
func (in Input) described() (ids string) {
	if in.Fault != "" {
		ids = in.id() + "-fault "
	}
	if in.Help != "" {
		ids += in.id() + "-help"
	}
	return ids
}

func invalid(in Input) string {
	if in.Fault != "" {
		return "true"
	}
	return "false"
}
