package catalog

import (
	"encoding/json"
	"slices"
	"strings"
)

// maxHops is how often a reference may lead to another one.
const maxHops = 10

// resolve returns what an object of OpenAPI refers to, or the object itself. Of what stands beside a reference, the
// rest wins: OpenAPI lets it say another summary and description.
func (r *reader) resolve(o object, kind, at string) object {
	for range maxHops {
		ref := o.text("$ref")
		if ref == "" {
			return o
		}
		p, rest, ok := placeOf(ref)
		value := r.components[p]
		if !ok || rest != "" || p.kind != kind || !isObject(value) {
			r.faults.Add(at, "has a $ref that leads to none of this document's "+componentsPrefix+kind)
			return nil
		}

		found := known(value)
		for _, m := range o.without("$ref") {
			found = found.with(m.name, m.value)
		}
		o = found
	}
	r.faults.Add(at, "has a $ref that leads to too many others")
	return nil
}

// root returns the schema that a schema consists of: the one that it refers to, if it does nothing else.
func (r *reader) root(schema json.RawMessage) object {
	o := known(schema)
	for range maxHops {
		p, rest, ok := placeOf(o.text("$ref"))
		if !ok || rest != "" {
			return o
		}

		found := known(r.components[p])
		for _, m := range o.without("$ref") {
			found = found.with(m.name, m.value)
		}
		o = found
	}
	return o
}

// reach returns the components that references lead to, and those that these lead to, sorted.
func (r *reader) reach(refs []string, at string) (list []place) {
	seen := map[place]bool{}
	for len(refs) > 0 {
		ref := refs[len(refs)-1]
		refs = refs[:len(refs)-1]
		p, _, ok := placeOf(ref)
		switch {
		case !ok && isLocal(ref):
			continue // in a schema with an $id, or to its own anchor: whoever compiles it knows
		case !ok:
			r.faults.Add(at, "has a $ref to another document: nothing is fetched, so put it into "+schemasPrefix)
			return nil
		case seen[p]:
			continue
		case r.components[p] == nil:
			r.faults.Add(at, "has a $ref that leads to none of this document's components")
			return nil
		}

		seen[p] = true
		list = append(list, p)
		if r.refs[p] == nil {
			r.refs[p] = append([]string{}, refsIn(r.components[p])...)
		}
		refs = append(refs, r.refs[p]...)
	}
	slices.SortFunc(list, func(a, b place) int { return strings.Compare(a.ref(), b.ref()) })
	return list
}

// isLocal tells whether a reference leads to somewhere in the same schema.
func isLocal(ref string) bool { return strings.HasPrefix(ref, "#") }

// collect returns what an item refers to, by the kind of component and its name.
func (r *reader) collect(item json.RawMessage, at string) json.RawMessage {
	var all object
	for _, p := range r.reach(refsIn(item), at) {
		kind := known(all.get(p.kind)).with(p.name, r.components[p])
		all = all.with(p.kind, kind.encode())
	}
	return all.encode()
}

// standalone returns a schema with all that it refers to in its $defs.
func (r *reader) standalone(schema json.RawMessage, at string) json.RawMessage {
	places := r.reach(refsIn(schema), at)
	if len(places) == 0 || !isObject(schema) {
		return schema
	}

	defs := known(known(schema).get("$defs"))
	names := map[place]string{}
	for _, p := range places {
		names[p] = freeName(defs, p.name)
		defs = defs.with(names[p], r.components[p])
	}

	local := func(ref string) string {
		p, rest, ok := placeOf(ref)
		if !ok {
			return ref
		}
		return defsPrefix + escapePointer(names[p]) + rest
	}
	return mapRefs(known(schema).with("$defs", defs.encode()).encode(), local)
}

// freeName returns a name that an object has no member of.
func freeName(o object, name string) string {
	for o.get(name) != nil {
		name += "_"
	}
	return name
}
