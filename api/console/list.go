package console

import (
	"net/url"

	"github.com/outhook/outhook/api/web"
)

// query returns a parameter of the page.
func (v *visit) query(name string) string { return v.URL.Query().Get(name) }

// filtered tells whether one of a list's parameters is given.
func (v *visit) filtered(names ...string) bool {
	for _, name := range names {
		if v.query(name) != "" {
			return true
		}
	}
	return false
}

// paging leads from a page of a list to the next one and to the first.
func (v *visit) paging(next *string) web.Paging {
	var p web.Paging
	if v.query("cursor") != "" {
		p.First = v.pathWith("cursor", "")
	}
	if next != nil {
		p.Next = v.pathWith("cursor", *next)
	}
	return p
}

// pathWith returns the page's path with another value of a parameter; "": without it.
func (v *visit) pathWith(name, value string) string {
	query := v.URL.Query()
	query.Set(name, value)
	if value == "" {
		query.Del(name)
	}
	return (&url.URL{Path: v.URL.Path, RawQuery: query.Encode()}).String()
}

// text is a field of a list's filters.
func (v *visit) text(name, label, placeholder string) web.Input {
	return web.Input{Name: name, Label: label, Type: "search", Value: v.query(name), Placeholder: placeholder}
}

// choice is a field of a list's filters: the values, each with its label.
func (v *visit) choice(name, label string, values ...web.Option) web.Input {
	options := []web.Option{{Label: "Any"}}
	for _, o := range values {
		o.Selected = o.Value == v.query(name)
		options = append(options, o)
	}
	return web.Input{Name: name, Label: label, Type: "select", Options: options}
}

// tenantFilter is the field for a tenant, for those who see several.
func (v *visit) tenantFilter() []web.Input {
	if v.session.TenantID != nil {
		return nil
	}
	return []web.Input{v.text("tenant", "Tenant", "any")}
}
