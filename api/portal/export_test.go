package portal

// Patterns returns those of all pages, as http.ServeMux takes them.
func (p *Portal) Patterns() []string {
	var all []string
	for _, page := range p.pages() {
		all = append(all, page.pattern)
	}
	return all
}
