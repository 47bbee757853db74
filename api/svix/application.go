package svix

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
)

// uidPattern is what a uid, or an eventId, consists of.
var uidPattern = regexp.MustCompile(`^[a-zA-Z0-9\-_.]{1,256}$`)

const uidRule = "must be 1 to 256 letters, digits and - _ ."

// ownLabel is the label of a tenant whose application was given no uid.
var ownLabel = regexp.MustCompile(`^svix_[0-9A-Za-z]{22}$`)

// applicationIn is an application as it is given; of a change, what is to be different. Null is not the same as
// nothing.
type applicationIn struct {
	Name         *string           `json:"name"`
	UID          json.RawMessage   `json:"uid"`
	Metadata     map[string]string `json:"metadata"`
	ThrottleRate json.RawMessage   `json:"throttleRate"`
	RateLimit    json.RawMessage   `json:"rateLimit"` // of old SDKs
}

type applicationOut struct {
	ID           string            `json:"id"`
	UID          *string           `json:"uid"`
	Name         string            `json:"name"`
	ThrottleRate *int              `json:"throttleRate"`
	RateLimit    *int              `json:"rateLimit"`
	Metadata     map[string]string `json:"metadata"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`
}

func newApplication(t client.Tenant) (applicationOut, error) {
	out := applicationOut{
		ID: svixID(applicationPrefix, t.ID), Name: t.Name, Metadata: t.Metadata,
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
	if !ownLabel.MatchString(t.TenantID) {
		out.UID = &t.TenantID
	}
	return out, nil
}

// uid returns the uid, "" for none, and refuses what Outhook has not: applications have no rate, endpoints have.
func (in *applicationIn) uid(at string) (string, error) {
	var f problem.Faults
	for name, value := range map[string]json.RawMessage{"throttleRate": in.ThrottleRate, "rateLimit": in.RateLimit} {
		if isGiven(value) {
			f.Add(at+"."+name, "is not supported by Outhook: give its endpoints one")
		}
	}

	var uid string
	if isGiven(in.UID) && (json.Unmarshal(in.UID, &uid) != nil || !uidPattern.MatchString(uid)) {
		f.Add(at+".uid", uidRule)
	}
	return uid, f.Problem(problem.InvalidRequest)
}

// isGiven tells whether a member is there and not null.
func isGiven(value json.RawMessage) bool { return value != nil && string(value) != "null" }

// tenant returns the tenant whose application a path names, by its id or its uid, which may be a UUID too, or an
// id: of an application that was copied from another server.
func (v *visit) tenant(name string) (client.Tenant, error) {
	id, isID := parseID(applicationPrefix, name)
	_, isOurs := decodeID(applicationPrefix, name, idSize)
	if !isOurs {
		t, err := v.tenantAt(name)
		if !isID || !isNotFound(err) {
			return t, err
		}
	}

	var some struct{ Items []client.Tenant }
	if err := v.get("/api/tenants", url.Values{"id": {id.String()}}, &some); err != nil {
		return client.Tenant{}, err
	}
	switch {
	case len(some.Items) > 0:
		return some.Items[0], nil
	case isOurs:
		return v.tenantAt(name)
	}
	return client.Tenant{}, problem.New(problem.NotFound, "there is no such application")
}

func (v *visit) tenantAt(label string) (t client.Tenant, err error) {
	err = v.get(tenantPath(label), nil, &t)
	return t, err
}

func tenantPath(label string) string { return "/api/tenants/" + url.PathEscape(label) }

// refusal returns what the API has refused with.
func refusal(err error) (*problem.Error, bool) { return errors.AsType[*problem.Error](err) }

// isNotFound tells whether something is not there.
func isNotFound(err error) bool {
	p, ok := refusal(err)
	f, isFault := errors.AsType[*fault](err)
	return ok && p.Code == problem.NotFound || isFault && f.Code == codeNotFound
}

// application returns the tenant of the path's application.
func (v *visit) application() (client.Tenant, error) {
	if v.operator {
		return client.Tenant{TenantID: operatorTenant}, nil
	}
	return v.tenant(v.PathValue("app"))
}

// make makes the entry of a tenant.
func (v *visit) make(label string, in *applicationIn) (t client.Tenant, err error) {
	if in.Name == nil || *in.Name == "" {
		return t, problem.Invalid("body.name", "is required")
	}
	body := map[string]any{"name": in.Name, "metadata": in.Metadata}
	o := order{method: http.MethodPut, path: tenantPath(label), body: body, key: v.key(), new: true}
	err = v.ask(o, &t)
	return t, err
}

// makeAlong makes the application that a message brings along.
func (v *visit) makeAlong(in *applicationIn, name string) (client.Tenant, error) {
	uid, err := in.uid("body.application")
	switch {
	case err != nil:
		return client.Tenant{}, err
	case uid != name:
		return client.Tenant{}, problem.Invalid("body.application.uid", "must be the uid in the path")
	}

	t, err := v.make(uid, in)
	if isTaken(err) { // by another message, just now
		return v.tenantAt(uid)
	}
	return t, err
}

// isTaken tells whether the API has refused to make something that is there.
func isTaken(err error) bool {
	p, ok := refusal(err)
	return ok && p.Code == problem.PreconditionFailed
}

// ownLabelOf returns the label of an application without a uid: the same for a call that is repeated.
func (v *visit) ownLabelOf() string {
	seed := make([]byte, idSize)
	rand.Read(seed) // never returns an error: crypto/rand ends the process instead
	if key := v.key(); key != "" {
		seed = []byte(v.Header.Get("Authorization") + "\n" + key)
	}
	sum := sha256.Sum256(seed)
	return encodeID("svix_", sum[:idSize])
}

func createApplication(v *visit) error {
	orGet, err := v.boolParam("get_if_exists", false)
	if err != nil {
		return err
	}
	var in applicationIn
	if err := v.decode(&in); err != nil {
		return err
	}
	uid, err := in.uid("body")
	if err != nil {
		return err
	}
	if uid == "" {
		uid = v.ownLabelOf()
	}

	t, err := v.make(uid, &in)
	switch {
	case isTaken(err) && orGet:
		if t, err = v.tenantAt(uid); err == nil {
			return v.replyWith(http.StatusOK, t)
		}
	case isTaken(err):
		return &fault{http.StatusConflict, codeConflict, "An application with this uid exists already"}
	}
	if err != nil {
		return err
	}
	return v.replyWith(http.StatusCreated, t)
}

func (v *visit) replyWith(status int, t client.Tenant) error {
	out, err := newApplication(t)
	if err != nil {
		return err
	}
	return v.reply(status, out)
}

func listApplications(v *visit) error {
	err := v.refuseParams("exclude_apps_with_no_endpoints", "exclude_apps_with_disabled_endpoints",
		"exclude_apps_with_svix_play_endpoints")
	if err != nil {
		return err
	}
	l := oneID(applicationPrefix, "/api/tenants", nil, func(t client.Tenant) string { return t.ID })
	if err := l.order(v, "ascending"); err != nil {
		return err
	}
	return page(v, l, newApplication)
}

func getApplication(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}
	return v.replyWith(http.StatusOK, t)
}

// putApplication changes an application, or makes one whose uid the path has.
func putApplication(v *visit) error {
	var in applicationIn
	if err := v.decode(&in); err != nil {
		return err
	}
	uid, err := in.uid("body")
	if err != nil {
		return err
	}
	if in.Name == nil || *in.Name == "" {
		return problem.Invalid("body.name", "is required")
	}

	t, err := v.application()
	_, isID := parseID(applicationPrefix, v.PathValue("app"))
	switch {
	case isNotFound(err) && isID && uid != v.PathValue("app"):
		return err
	case isNotFound(err):
		if t, err = v.make(v.PathValue("app"), &in); err == nil {
			return v.replyWith(http.StatusCreated, t)
		}
		return err
	case err != nil:
		return err
	}
	if in.Metadata == nil {
		in.Metadata = map[string]string{}
	}
	return v.changeApplication(t, &in, uid)
}

func patchApplication(v *visit) error {
	var in applicationIn
	if err := v.decode(&in); err != nil {
		return err
	}
	uid, err := in.uid("body")
	if err != nil {
		return err
	}

	t, err := v.application()
	if err != nil {
		return err
	}
	if in.UID != nil && !isGiven(in.UID) && !ownLabel.MatchString(t.TenantID) {
		return errUIDStays()
	}
	return v.changeApplication(t, &in, uid)
}

func errUIDStays() error {
	return problem.Invalid("body.uid", "can't be changed: it is the tenant that its events and endpoints belong to")
}

// changeApplication changes what is given: metadata as a whole.
func (v *visit) changeApplication(t client.Tenant, in *applicationIn, uid string) error {
	if uid != "" && uid != t.TenantID {
		return errUIDStays()
	}
	change := map[string]any{}
	if in.Name != nil {
		change["name"] = in.Name
	}
	if in.Metadata != nil {
		change["metadata"] = replacing(t.Metadata, in.Metadata)
	}

	var changed client.Tenant
	o := order{method: http.MethodPatch, path: tenantPath(t.TenantID), body: change}
	if err := v.ask(o, &changed); err != nil {
		return err
	}
	return v.replyWith(http.StatusOK, changed)
}

// replacing returns the patch that makes one object another: what is there no more is null.
func replacing(before, after map[string]string) map[string]*string {
	patch := map[string]*string{}
	for name := range before {
		patch[name] = nil
	}
	for name, value := range after {
		patch[name] = &value
	}
	return patch
}

// deleteApplication erases all that a tenant has until now, as a customer who leaves wants it. Its entry goes at once,
// and the rest in the background.
func deleteApplication(v *visit) error {
	t, err := v.application()
	if err != nil {
		return err
	}

	// In this order it can be repeated. A worker may have erased the entry already.
	for _, path := range []string{"/data", ""} {
		o := order{method: http.MethodDelete, path: tenantPath(t.TenantID) + path}
		if err := v.ask(o, nil); err != nil && (path != "" || !isNotFound(err)) {
			return err
		}
	}
	v.api.known.forget()
	return v.done()
}

// idOf reads an id of the API's own answers.
func idOf(text string) uuid.UUID {
	id, _ := uuid.Parse(text) // the API has no other ids
	return id
}
