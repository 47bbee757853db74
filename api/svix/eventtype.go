package svix

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/catalog"
	"github.com/outhook/outhook/internal/problem"
)

// eventTypePrefix is that of iterators: event types have names.
const eventTypePrefix = "evtype_"

// States of an event type. Svix has two flags.
const (
	stateActive     = "active"
	stateDeprecated = "deprecated"
	stateArchived   = "archived"
)

type eventTypeOut struct {
	Name        string                     `json:"name"`
	Description string                     `json:"description"`
	Archived    bool                       `json:"archived"`
	Deprecated  bool                       `json:"deprecated"`
	Schemas     map[string]json.RawMessage `json:"schemas"`
	GroupName   *string                    `json:"groupName,omitempty"`
	Flags       []string                   `json:"featureFlags,omitempty"`
	Flag        *string                    `json:"featureFlag,omitempty"` // of old SDKs
	CreatedAt   time.Time                  `json:"createdAt"`
	UpdatedAt   time.Time                  `json:"updatedAt"`
}

func newEventType(t client.EventType) (eventTypeOut, error) {
	out := eventTypeOut{
		Name: t.Name, Description: t.Description, Archived: t.State == stateArchived,
		Deprecated: t.State == stateDeprecated, Flags: t.Flags, CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
	if t.Group != "" {
		out.GroupName = &t.Group
	}
	if len(t.Flags) > 0 {
		out.Flag = &t.Flags[0]
	}
	return out, nil
}

// describedType is an event type of the API, with what this package asks of it.
type describedType struct {
	client.EventType

	Schema json.RawMessage `json:"schema"`
}

// newDescribed adds the schema under the number of its version. One that allows anything is none.
func newDescribed(t describedType) (eventTypeOut, error) {
	out, err := newEventType(t.EventType)
	if string(t.Schema) != "{}" {
		out.Schemas = map[string]json.RawMessage{strconv.Itoa(t.Version): t.Schema}
	}
	return out, err
}

func eventTypePath(name string) string { return "/api/event-types/" + url.PathEscape(name) }

// eventTypeAt returns an event type.
func (v *visit) eventTypeAt(name string) (t describedType, err error) {
	if !catalog.ValidName(name) {
		return t, errNotFound()
	}
	err = v.get(eventTypePath(name), nil, &t)
	return t, err
}

// eventTypeIn is an event type as it is given; of a patch, what is to be different. Null is not the same as nothing.
type eventTypeIn struct {
	Name        *string         `json:"name"`
	Description *string         `json:"description"`
	Archived    *bool           `json:"archived"`
	Deprecated  *bool           `json:"deprecated"`
	Schemas     json.RawMessage `json:"schemas"`
	GroupName   json.RawMessage `json:"groupName"`
	Flags       json.RawMessage `json:"featureFlags"`
	Flag        json.RawMessage `json:"featureFlag"` // of old SDKs
}

const nameRule = "must be names of letters, digits and _, joined by dots, and not begin with outhook."

// whole has all that is not given unset, and refuses what must be given.
func (in *eventTypeIn) whole(f *problem.Faults) {
	if in.Description == nil {
		f.Add("body.description", "is required")
	}

	for _, flag := range []**bool{&in.Archived, &in.Deprecated} {
		if *flag == nil {
			*flag = new(bool)
		}
	}
	for _, value := range []*json.RawMessage{&in.Schemas, &in.GroupName} {
		if *value == nil {
			*value = json.RawMessage("null")
		}
	}
	if in.Flags == nil && in.Flag == nil {
		in.Flags = json.RawMessage("null")
	}
}

// words returns what is said otherwise, and whether there is something.
func (in *eventTypeIn) words(f *problem.Faults) (w catalog.Words, given bool) {
	w = catalog.Words{Description: in.Description}
	if in.GroupName != nil {
		w.Group = new(string)
		if isGiven(in.GroupName) && json.Unmarshal(in.GroupName, w.Group) != nil {
			f.Add("body.groupName", "must be a text")
		}
	}

	if flags := in.flags(); flags != nil {
		w.Flags = []string{}
		if isGiven(flags) && json.Unmarshal(flags, &w.Flags) != nil {
			f.Add("body.featureFlags", "must be texts")
		}
	}
	if in.Schemas != nil {
		w.Schema = in.schema(f)
	}
	return w, w.Description != nil || w.Group != nil || w.Flags != nil || w.Schema != nil
}

// flags returns the feature flags as a list, nil if they are not given.
func (in *eventTypeIn) flags() json.RawMessage {
	if in.Flags == nil && isGiven(in.Flag) {
		return slices.Concat([]byte("["), in.Flag, []byte("]"))
	}
	if in.Flags == nil {
		return in.Flag
	}
	return in.Flags
}

// schema returns the newest of the schemas: that with the greatest number. Without one anything is allowed.
func (in *eventTypeIn) schema(f *problem.Faults) json.RawMessage {
	schemas := map[string]json.RawMessage{}
	if isGiven(in.Schemas) && json.Unmarshal(in.Schemas, &schemas) != nil {
		f.Add("body.schemas", "must be an object of schemas by the numbers of their versions")
		return nil
	}

	newest, schema := 0, json.RawMessage("{}")
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		n, err := strconv.Atoi(name)
		at := "body.schemas." + name
		switch {
		case err != nil || n < 1:
			f.Add("body.schemas", "must have the numbers of versions as names, from 1")
		case len(schemas[name]) == 0 || schemas[name][0] != '{':
			f.Add(at, "must be an object")
		case n > newest:
			newest, schema = n, schemas[name]
		}
	}
	return schema
}

// state returns the state after a change of one that is in another. There is no flag for both: what is archived is
// not deprecated.
func (in *eventTypeIn) state(now string) string {
	archived, deprecated := now == stateArchived, now == stateDeprecated
	if in.Archived != nil {
		archived = *in.Archived
	}
	if in.Deprecated != nil {
		deprecated = *in.Deprecated
	}

	switch {
	case archived:
		return stateArchived
	case deprecated:
		return stateDeprecated
	}
	return stateActive
}

func createEventType(v *visit) error {
	var in eventTypeIn
	if err := v.decode(&in); err != nil {
		return err
	}
	var f problem.Faults
	switch {
	case in.Name == nil:
		f.Add("body.name", "is required")
	case !catalog.ValidName(*in.Name):
		f.Add("body.name", nameRule)
	}
	in.whole(&f)
	w, _ := in.words(&f)
	if err := f.Problem(problem.InvalidRequest); err != nil {
		return err
	}

	now, err := v.eventTypeAt(*in.Name)
	if err != nil && !isNotFound(err) {
		return err
	}
	if err == nil && now.State != stateArchived {
		// It is there already, as it is asked for: then this is the repetition of a call, or as good as one.
		same, err := v.push(*in.Name, w, true)
		if err != nil {
			return err
		}
		if !v.repeats() || !same || in.state(stateActive) != now.State {
			return &fault{http.StatusConflict, codeConflict, "An event type with this name exists already"}
		}
	}
	return v.describe(http.StatusCreated, *in.Name, &in, w, now.State)
}

// putEventType makes an event type what is given, whether it is there or not.
func putEventType(v *visit) error {
	var in eventTypeIn
	if err := v.decode(&in); err != nil {
		return err
	}
	var f problem.Faults
	in.whole(&f)
	w, _ := in.words(&f)
	name := v.PathValue("name")
	if !catalog.ValidName(name) {
		f.Add("path.name", nameRule)
	}
	if err := f.Problem(problem.InvalidRequest); err != nil {
		return err
	}

	now, err := v.eventTypeAt(name)
	switch {
	case isNotFound(err):
		return v.describe(http.StatusCreated, name, &in, w, "")
	case err != nil:
		return err
	}
	return v.describe(http.StatusOK, name, &in, w, now.State)
}

func patchEventType(v *visit) error {
	var in eventTypeIn
	if err := v.decode(&in); err != nil {
		return err
	}
	var f problem.Faults
	w, given := in.words(&f)
	if err := f.Problem(problem.InvalidRequest); err != nil {
		return err
	}

	now, err := v.eventTypeAt(v.PathValue("name"))
	if err != nil {
		return err
	}
	if !given {
		return v.setState(http.StatusOK, now, in.state(now.State))
	}
	return v.describe(http.StatusOK, now.Name, &in, w, now.State)
}

// describe pushes what is said of an event type, which brings one back that is archived, and gives it its state.
func (v *visit) describe(status int, name string, in *eventTypeIn, w catalog.Words, was string) error {
	if _, err := v.push(name, w, false); err != nil {
		return err
	}
	t, err := v.eventTypeAt(name)
	if err != nil {
		return err
	}
	return v.setState(status, t, in.state(was))
}

// push pushes the document of an event type with other words, or asks what would differ. It tells whether nothing
// does. Svix has no changes that it refuses for the sake of receivers.
func (v *visit) push(name string, w catalog.Words, dry bool) (same bool, err error) {
	var pulled struct {
		Document json.RawMessage `json:"document"`
	}
	err = v.get("/api/catalog", url.Values{"event_type": {name}}, &pulled)
	if err != nil && !isNotFound(err) {
		return false, err
	}
	document, err := catalog.Rewrite(pulled.Document, name, w)
	if err != nil {
		return false, typeFault(err)
	}

	var report struct {
		Unchanged int `json:"unchanged"`
	}
	o := order{method: http.MethodPost, path: "/api/catalog", body: map[string]any{
		"document": document, "allow_breaking": true, "dry_run": dry,
	}}
	err = v.ask(o, &report)
	return report.Unchanged == 1, typeFault(err)
}

// typeFault writes what the API says of the document as what is wrong with an event type.
func typeFault(err error) error {
	p, ok := refusal(err)
	if !ok {
		return err
	}

	for i, at := range p.Errors {
		if !strings.HasPrefix(at.Location, "body.document") {
			continue
		}
		place := "body.schemas"
		for word, name := range map[string]string{
			"description that": "description", "group that": "groupName", "flag that": "featureFlags", "flags": "featureFlags",
		} {
			if strings.Contains(at.Message, word) {
				place = "body." + name
			}
		}
		p.Errors[i].Location = place
	}
	return err
}

// setState gives an event type a state, and answers with it.
func (v *visit) setState(status int, t describedType, state string) error {
	if t.State != state {
		o := order{method: http.MethodPatch, path: eventTypePath(t.Name), body: map[string]any{"state": state}}
		t = describedType{}
		if err := v.ask(o, &t); err != nil {
			return err
		}
	}
	out, err := newDescribed(t)
	if err != nil {
		return err
	}
	return v.reply(status, out)
}

func listEventTypes(v *visit) error {
	archived, err := v.boolParam("include_archived", false)
	if err != nil {
		return err
	}
	withContent, err := v.boolParam("with_content", false)
	if err != nil {
		return err
	}

	l := oneID(eventTypePrefix, "/api/event-types", nil, func(t client.EventType) string { return t.ID })
	if !archived {
		l.keep = func(t client.EventType) bool { return t.State != stateArchived }
	}
	if err := l.order(v, "ascending"); err != nil {
		return err
	}
	if !withContent {
		return page(v, l, newEventType)
	}
	return page(v, l, func(t client.EventType) (eventTypeOut, error) {
		described, err := v.eventTypeAt(t.Name)
		if isNotFound(err) { // it was deleted just now
			return newEventType(t)
		}
		if err != nil {
			return eventTypeOut{}, err
		}
		return newDescribed(described)
	})
}

func getEventType(v *visit) error {
	t, err := v.eventTypeAt(v.PathValue("name"))
	if err != nil {
		return err
	}
	return v.setState(http.StatusOK, t, t.State)
}

// deleteEventType archives one, or deletes it.
func deleteEventType(v *visit) error {
	expunge, err := v.boolParam("expunge", false)
	if err != nil {
		return err
	}
	name := v.PathValue("name")
	if !catalog.ValidName(name) {
		return errNotFound()
	}

	o := order{method: http.MethodPatch, path: eventTypePath(name), body: map[string]any{"state": stateArchived}}
	if expunge {
		o = order{method: http.MethodDelete, path: eventTypePath(name)}
	}
	if err := v.ask(o, nil); err != nil {
		return err
	}
	return v.done()
}

// sendExample sends the catalogue's example of an event type as a test: to one endpoint, once.
func sendExample(v *visit) error {
	e, err := v.endpoint()
	if err != nil {
		return err
	}
	var in struct {
		EventType *string `json:"eventType"`
		Index     int     `json:"exampleIndex"`
	}
	if err := v.decode(&in); err != nil {
		return err
	}
	switch {
	case in.EventType == nil:
		return problem.Invalid("body.eventType", "is required")
	case in.Index != 0:
		return problem.Invalid("body.exampleIndex", "must be 0: the first example is what Outhook sends")
	}

	var tested client.Tested
	o := order{
		method: http.MethodPost, path: endpointPath(e, "/test"), query: url.Values{"event_type": {*in.EventType}},
		key: v.key(),
	}
	if err := v.ask(o, &tested); err != nil {
		if p, ok := refusal(err); ok {
			for i := range p.Errors {
				p.Errors[i].Location = strings.Replace(p.Errors[i].Location, "query.event_type", "body.eventType", 1)
			}
		}
		return err
	}
	var event client.FullEvent
	if err := v.get("/api/events/"+tested.EventID, nil, &event); err != nil {
		return err
	}
	m := newMessage(event.ID, event.Type, event.CreatedAt, event.Labels, nil)
	return v.replyMessage(http.StatusAccepted, m, shown(event.Payload, event.PayloadErased))
}
