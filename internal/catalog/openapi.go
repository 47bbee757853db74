package catalog

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/outhook/outhook/internal/jsondepth"
	"github.com/outhook/outhook/internal/problem"
	"github.com/outhook/outhook/internal/strictjson"
)

// emptySchema is that of a type whose document has none.
const emptySchema = `{}`

// methods are the operations of a path item. That of a webhook is a POST, as a rule.
func methods() []string {
	return []string{"post", "put", "patch", "get", "delete", "options", "head", "trace"}
}

// Parse reads an OpenAPI 3.1 document's webhooks. Its error is a *[problem.Error] that says what is wrong, and where:
// at is the location of the document.
func Parse(document []byte, at string) (Catalog, error) {
	raw, err := strictjson.ParseObject(document)
	if err != nil {
		return Catalog{}, err
	}
	if jsondepth.Of(raw) > maxDepth {
		return Catalog{}, problem.Invalid(at, fmt.Sprintf("nests deeper than %d levels", maxDepth))
	}

	r := &reader{at: at, components: map[place]json.RawMessage{}, refs: map[place][]string{}}
	doc := objectOf(compact(raw), at, &r.faults)
	c := r.read(doc)
	return c, r.faults.Problem(problem.InvalidRequest)
}

// reader reads a document.
type reader struct {
	at         string
	components map[place]json.RawMessage
	refs       map[place][]string // of components that were looked at
	faults     problem.Faults
}

func (r *reader) read(doc object) (c Catalog) {
	if version := doc.text("openapi"); !strings.HasPrefix(version, "3.1.") && !strings.HasPrefix(version, "3.2.") {
		r.faults.Add(r.at+".openapi", "must be 3.1.x or 3.2.x: what came before has no webhooks, and another JSON Schema")
		return c
	}

	for _, kind := range known(doc.get("components")) {
		at := strictjson.MemberLocation(r.at+".components", kind.name)
		if strings.HasPrefix(kind.name, "x-") {
			continue
		}
		for _, m := range objectOf(kind.value, at, &r.faults) {
			r.components[place{kind.name, m.name}] = m.value
		}
	}

	if doc.get("info") != nil {
		c.Frame = doc.without("webhooks", "components", "paths", "security").encode()
	}
	var webhooks object
	if raw := doc.get("webhooks"); raw != nil {
		webhooks = objectOf(raw, r.at+".webhooks", &r.faults)
	}
	if len(webhooks) > MaxTypes {
		r.faults.Add(r.at+".webhooks", fmt.Sprintf("has more than %d event types", MaxTypes))
		return c
	}

	total := 0
	for _, m := range webhooks {
		before := len(r.faults)
		if t := r.readType(m.name, m.value); len(r.faults) == before {
			c.Types = append(c.Types, t)
			total += t.size()
		}
		if total > MaxBytes {
			r.faults.Add(r.at+".webhooks", fmt.Sprintf("take more than %d bytes, each with all that it refers to", MaxBytes))
			return c
		}
	}
	r.sort(&c)
	return c
}

// sort puts the types into the order of their names, of which two must differ.
func (r *reader) sort(c *Catalog) {
	slices.SortFunc(c.Types, func(a, b Type) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(c.Types); i++ {
		if c.Types[i].Name == c.Types[i-1].Name {
			at := strictjson.MemberLocation(r.at+".webhooks", c.Types[i].Key)
			r.faults.Add(at, "is the same event type as another webhook")
		}
	}
}

// readType reads a webhook.
func (r *reader) readType(key string, raw json.RawMessage) Type {
	at := strictjson.MemberLocation(r.at+".webhooks", key)
	item := r.resolve(objectOf(raw, at, &r.faults), "pathItems", at)
	method, operation := r.operation(item, at)
	body := r.resolve(known(operation.get("requestBody")), "requestBodies", at)

	// The parts that may stand elsewhere are written out, since they are looked into; all the rest stays as it is.
	if body != nil {
		if media, name := r.media(body, at); name != "" {
			body = body.with("content", known(body.get("content")).with(name, media.encode()).encode())
		}
		operation = operation.with("requestBody", body.encode())
		item = item.with(method, operation.encode())
	}

	t := Type{Name: key, Key: key, Item: item.encode()}
	for _, o := range []object{item, operation} {
		if name := o.text(extensionType); name != "" {
			t.Name = name
		}
	}
	if !ValidName(t.Name) {
		r.faults.Add(at, "must be an event type, names of letters, digits and _ joined by dots and not Outhook's own, "+
			"or have one as "+extensionType)
	}

	r.fill(&t, item, operation, body, at)
	return t
}

// operation returns the operation of a webhook, and its method.
func (r *reader) operation(item object, at string) (method string, operation object) {
	for _, method := range methods() {
		if raw := item.get(method); raw != nil {
			return method, objectOf(raw, strictjson.MemberLocation(at, method), &r.faults)
		}
	}
	return methods()[0], nil
}

// media returns the Media Type Object of a body that the payload is described by, with its examples written out, and
// its name; "": there is none.
func (r *reader) media(body object, at string) (media object, name string) {
	raw, name := mediaOf(body)
	if name == "" {
		return object{}, ""
	}

	media = objectOf(raw, at, &r.faults)
	if examples := known(media.get("examples")); examples != nil {
		for i, m := range examples {
			examples[i].value = r.resolve(known(m.value), "examples", at).encode()
		}
		media = media.with("examples", examples.encode())
	}
	return media, name
}

// mediaOf returns the Media Type Object as it is, and its name: the first of JSON, else the first.
func mediaOf(body object) (media json.RawMessage, name string) {
	content := known(body.get("content"))
	for _, m := range content {
		if strings.Contains(m.name, "json") {
			return m.value, m.name
		}
	}
	if len(content) == 0 {
		return nil, ""
	}
	return content[0].value, content[0].name
}

// fill reads what a type has beside its name.
func (r *reader) fill(t *Type, item, operation, body object, at string) {
	media := object{}
	if body != nil {
		media, _ = r.media(body, at)
	}

	schema := media.get("schema")
	if schema == nil {
		schema = json.RawMessage(emptySchema)
	}
	t.Components = r.collect(t.Item, at)
	t.Schema = r.standalone(schema, at)
	root := r.root(schema)
	t.describe(item, operation, root)
	t.Examples = examplesOf(media, root)

	t.check(at, &r.faults)
	if _, err := Compile(t.Schema); err != nil {
		r.faults.Add(at, "has a schema that is none of JSON Schema 2020-12: "+err.Error())
	}
}

// examplesOf returns the payloads that a media type gives as examples, else those of its schema.
func examplesOf(media, schema object) (list []json.RawMessage) {
	for _, m := range known(media.get("examples")) {
		if value := known(m.value).get("value"); value != nil {
			list = append(list, value)
		}
	}

	for _, raw := range []json.RawMessage{media.get("example"), schema.get("example")} {
		if raw != nil && len(list) == 0 {
			list = append(list, raw)
		}
	}
	if len(list) == 0 {
		list = arrayOf(schema.get("examples"))
	}
	return list
}
