package catalog

import "encoding/json"

// Words are what is to be said of an event type. Nil: what is said.
type Words struct {
	Description *string
	Group       *string
	Flags       []string // not nil, and empty: none
	Schema      json.RawMessage
}

// Rewrite returns a document of one event type with other words, and all else as it is. Without a document it makes
// one. The schema must be an object.
func Rewrite(document json.RawMessage, name string, w Words) (json.RawMessage, error) {
	webhooks := known(known(document).get("webhooks"))
	if len(webhooks) == 0 || w.Schema != nil {
		schema := w.Schema
		if schema == nil {
			schema = json.RawMessage(emptySchema)
		}
		made, err := FromFiles(map[string]json.RawMessage{name: schema})
		if err != nil {
			return nil, err
		}
		if document, err = withSchema(document, made); err != nil {
			return nil, err
		}
		webhooks = known(known(document).get("webhooks"))
	}

	item := known(webhooks[0].value)
	method, operation := operationOf(item)
	for _, m := range []struct {
		value json.RawMessage
		names []string // the first is what is written, and the others say the same
	}{
		{optional(w.Description), []string{"description"}},
		{optional(w.Group), []string{extensionGroup, svixGroup}},
		{texts(w.Flags), []string{extensionFlags, svixFlags}},
	} {
		if m.value == nil {
			continue
		}
		operation = operation.without(m.names...)
		item = item.without(m.names[1:]...).with(m.names[0], m.value)
	}
	item = item.with(method, operation.encode())

	doc := known(document)
	return doc.with("webhooks", object{{webhooks[0].name, item.encode()}}.encode()).encode(), nil
}

// withSchema puts the schema of a document that was made of it into another one.
func withSchema(document, made json.RawMessage) (json.RawMessage, error) {
	webhooks := known(known(document).get("webhooks"))
	if len(webhooks) == 0 {
		return made, nil
	}

	path := []string{"post", "requestBody", "content", "application/json", "schema"}
	schema := known(known(made).get("webhooks"))[0].value
	for _, name := range path {
		schema = known(schema).get(name)
	}

	method, operation := operationOf(known(webhooks[0].value))
	path[0] = method
	if _, name := mediaOf(known(operation.get("requestBody"))); name != "" {
		path[3] = name
	}
	item, err := Set(webhooks[0].value, path, schema)
	if err != nil {
		return nil, err
	}
	return Merge(document, known(made).with("webhooks", object{{webhooks[0].name, item}}.encode()).encode()), nil
}

func optional(text *string) json.RawMessage {
	if text == nil {
		return nil
	}
	return quote(*text)
}

func texts(list []string) json.RawMessage {
	if list == nil {
		return nil
	}
	return encodeTexts(list)
}
