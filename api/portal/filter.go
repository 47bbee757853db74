package portal

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/api/pages"
	"github.com/outhook/outhook/api/web"
)

// conditionRows is how many conditions the form of a filter has; whoever needs more writes JSON.
const conditionRows = 3

// exists is the operator that wants a value to be there, whatever it is.
const exists = "$exist"

// condition is a comparison of a filter: a place in the payload, an operator of docs/filters.md, and a value.
type condition struct{ path, operator, value string }

// operators are those of the form, with their labels.
func (v *visit) operators() []web.Option {
	return []web.Option{
		{Value: "$eq", Label: v.t("is")},
		{Value: "$neq", Label: v.t("is not")},
		{Value: "$gte", Label: v.t("is at least")},
		{Value: "$lte", Label: v.t("is at most")},
		{Value: "$in", Label: v.t("contains")},
		{Value: "$startsWith", Label: v.t("begins with")},
		{Value: exists, Label: v.t("is there")},
	}
}

func conditionField(name string, i int) string { return name + "_" + strconv.Itoa(i) }

// conditions are those of a form.
func (t texts) conditions() (list []condition) {
	for i := range conditionRows {
		c := condition{
			strings.TrimSpace(t[conditionField("path", i)]), t[conditionField("operator", i)], t[conditionField("value", i)],
		}
		if c.path != "" {
			list = append(list, c)
		}
	}
	return list
}

// json returns the filter that a condition is.
func (c condition) json() any {
	var value any = true
	if c.operator != exists {
		value = literal(c.value)
		if text := c.value; c.operator == "$in" || c.operator == "$startsWith" {
			value = text
		}
	}

	var filter any = map[string]any{c.operator: value}
	names := strings.Split(strings.TrimPrefix(c.path, "data."), ".")
	for _, name := range slices.Backward(names) {
		filter = map[string]any{name: filter}
	}
	return map[string]any{"data": filter}
}

// literal is a number, true, false or null as JSON has them, and else a text.
func literal(text string) any {
	trimmed := strings.TrimSpace(text)
	switch trimmed {
	case "true", "false", "null":
		return json.RawMessage(trimmed)
	}
	if _, err := strconv.ParseFloat(trimmed, 64); err == nil && json.Valid([]byte(trimmed)) {
		return json.RawMessage(trimmed)
	}
	return text
}

// filter is what a form wants of events: its conditions, and what stands there as JSON. What is no JSON is a fault.
func (v *visit) filter(t texts) (filter json.RawMessage, fault string) {
	var all []any
	for _, c := range t.conditions() {
		all = append(all, c.json())
	}
	if text := strings.TrimSpace(t[filterField]); text != "" {
		if !json.Valid([]byte(text)) {
			return nil, v.t(`It is no JSON object like {"data": {"amount": {"$gte": 1000}}}.`)
		}
		all = append(all, json.RawMessage(text))
	}

	var whole any
	switch len(all) {
	case 0:
		return json.RawMessage("null"), ""
	case 1:
		whole = all[0]
	default:
		whole = map[string]any{"$and": all}
	}
	data, err := json.Marshal(whole)
	if err != nil {
		return nil, v.t("It can't be written as JSON.")
	}
	return data, ""
}

// setFilter fills a form in with a filter: into its conditions if it is one that they can say, else as JSON.
func (t texts) setFilter(filter json.RawMessage) {
	if len(filter) == 0 || string(filter) == "null" {
		return
	}
	list, ok := conditionsOf(filter)
	if !ok || len(list) > conditionRows {
		t[filterField] = string(filter)
		return
	}
	for i, c := range list {
		t[conditionField("path", i)], t[conditionField("operator", i)] = c.path, c.operator
		t[conditionField("value", i)] = c.value
	}
}

// conditionsOf returns the conditions of a filter, if it has nothing else.
func conditionsOf(filter json.RawMessage) (list []condition, ok bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(filter, &members) != nil || len(members) != 1 {
		return nil, false
	}

	if several, found := members["$and"]; found {
		var all []json.RawMessage
		if json.Unmarshal(several, &all) != nil {
			return nil, false
		}
		for _, one := range all {
			c, ok := conditionOf(one)
			if !ok {
				return nil, false
			}
			list = append(list, c)
		}
		return list, true
	}
	c, ok := conditionOf(filter)
	return []condition{c}, ok
}

func conditionOf(filter json.RawMessage) (c condition, ok bool) {
	var path []string
	for {
		var members map[string]json.RawMessage
		if json.Unmarshal(filter, &members) != nil || len(members) != 1 {
			return c, false
		}
		name := slices.Collect(maps.Keys(members))[0]
		filter = members[name]
		if strings.HasPrefix(name, "$") {
			c.operator = name
			break
		}
		path = append(path, name)
	}

	known := []string{"$eq", "$neq", "$gte", "$lte", "$in", "$startsWith", exists}
	if len(path) < 2 || path[0] != "data" || !slices.Contains(known, c.operator) {
		return c, false
	}
	c.path = strings.Join(path[1:], ".")

	// What would be written as another thing is no condition of the form.
	c.value = string(filter)
	isText := json.Unmarshal(filter, &c.value) == nil && string(filter) != "null"
	_, staysText := literal(c.value).(string)
	switch c.operator {
	case exists:
		ok, c.value = string(filter) == "true", ""
	case "$in", "$startsWith":
		ok = isText
	default:
		ok = isText == staysText
	}
	return c, ok && !strings.ContainsAny(strings.Join(path, ""), ".$")
}

const (
	// maxFields is how many places of a payload the form offers, and maxDepth how deep they lie: an object or a list
	// in another is a step.
	maxFields = 60
	maxDepth  = 8
)

// knownFields are places in the payload of the customer's last event of a type, or of any.
func (v *visit) knownFields() ([]string, error) {
	if !v.can(payloads) {
		return nil, nil
	}
	latest, err := v.api.ListEvents(v.ctx(), client.ListEventsParams{Order: "desc", Limit: 3})
	if pages.IsBusy(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}

	var fields []string
	for _, e := range latest.Items {
		event, err := v.api.GetEvent(v.ctx(), e.ID)
		if pages.IsGone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		fields = addFields(fields, "", event.Payload, maxDepth)
	}
	slices.Sort(fields)
	return fields[:min(len(fields), maxFields)], nil
}

// addFields adds the places of a document that have plain values.
func addFields(fields []string, at string, document json.RawMessage, depth int) []string {
	var members map[string]json.RawMessage
	var elements []json.RawMessage

	switch {
	case depth == 0 || len(fields) > 10*maxFields:
		return fields
	case json.Unmarshal(document, &members) == nil && members != nil:
		for name, value := range members {
			if name != "" && !strings.ContainsAny(name, ".$") {
				fields = addFields(fields, strings.TrimPrefix(at+"."+name, "."), value, depth-1)
			}
		}
		return fields
	case json.Unmarshal(document, &elements) == nil && len(elements) > 0:
		return addFields(fields, at, elements[0], depth-1)
	}
	if at != "" && !slices.Contains(fields, at) {
		fields = append(fields, at)
	}
	return fields
}

// conditionInputs are the fields of the conditions of a form.
func (v *visit) conditionInputs(t texts) (fields []web.Input) {
	for i := range conditionRows {
		n := strconv.Itoa(i + 1)
		operator := web.Input{Name: conditionField("operator", i), Label: v.f("Comparison %s", n), Type: "select"}
		for _, o := range v.operators() {
			o.Selected = o.Value == t[operator.Name]
			operator.Options = append(operator.Options, o)
		}

		fields = append(fields,
			web.Input{
				Name: conditionField("path", i), Label: v.f("Field %s", n), Value: t[conditionField("path", i)],
				Placeholder: "amount", List: "fields",
			}, operator,
			web.Input{Name: conditionField("value", i), Label: v.f("Value %s", n), Value: t[conditionField("value", i)]})
	}
	return fields
}

// tryFilter shows the form again, with how many of the customer's last events would be sent.
func tryFilter(v *visit) error {
	t, err := v.sent()
	if err != nil {
		return err
	}
	if err := v.needs(endpoints); err != nil {
		return err
	}
	e, title, crumb := &client.Endpoint{}, v.t("Add an endpoint"), v.endpointsCrumb()
	if id := t[idField]; id != "" {
		if e, err = v.api.GetEndpoint(v.ctx(), id, client.GetEndpointParams{}); err != nil {
			return err
		}
		e.ETag, title, crumb = t[etagField], v.t("Edit"), v.endpointCrumb(e)
	}
	known, err := v.knownTypes()
	if err != nil {
		return err
	}

	filter, fault := v.filter(t)
	f, said, status := pages.Faults{filterField: fault}, "", http.StatusUnprocessableEntity
	if fault == "" {
		seen, err := v.api.PreviewFilter(v.ctx(), client.FilterTrial{EventTypes: t.eventTypes(), Filter: filter})
		if err == nil {
			said = v.f("%s of your last %s events would be sent.", web.Count(seen.Wanted), web.Count(seen.Events))
			status = http.StatusOK
		} else if f, status, _ = pages.FaultsOf(err, fieldOf); f == nil {
			return err
		}
	}
	form := v.endpointForm(e, t, f, known)
	form.Said = said
	return v.showForm(status, title, crumb, form)
}
