package console

// Patterns returns those of all pages, as http.ServeMux takes them.
func (c *Console) Patterns() []string {
	var all []string
	for _, p := range c.pages() {
		all = append(all, p.pattern)
	}
	return all
}
