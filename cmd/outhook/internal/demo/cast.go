package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/outhook/outhook/api/client"
)

// The tenants: a shop, a service with subscriptions, and an office.
const (
	northwind = "northwind"
	globex    = "globex"
	initech   = "initech"
)

// tenant is what is noted of one.
type tenant struct{ label, name, contact, plan string }

func tenants() []tenant {
	return []tenant{
		{northwind, "Northwind Traders", "webhooks@northwind.example", "scale"},
		{globex, "Globex Corporation", "it-ops@globex.example", "business"},
		{initech, "Initech", "bill@initech.example", "free"},
	}
}

// refusing is an address of this machine at which nobody listens: the discard service's.
const refusing = "127.0.0.1:9"

// endpoint is somebody's who receives.
type endpoint struct {
	tenant, uid string
	description string
	types       []string // none: all
	filter      string   // of their events; "": none
	schedule    []string // none: the server's
	limit       int      // requests a second; 0: none
	timeoutMS   int      // 0: the server's
	status      string   // that a person has given it; "": none has

	answer answer // nil: nobody is there
}

// path is where an endpoint receives.
func (e endpoint) path() string { return "/" + e.tenant + "/" + e.uid }

// cast are the endpoints: each condition that one can be in is one's.
func cast() []endpoint {
	return []endpoint{
		{
			tenant: northwind, uid: "storefront", description: "Order pages", types: []string{"order.*"},
			answer: quick,
		},
		{
			tenant: northwind, uid: "warehouse", description: "Picks and packs: slow, and too slow now and then",
			types: []string{"order.paid", "order.shipped"}, schedule: []string{"5s", "30s", "2m"}, timeoutMS: 2500,
			answer: slow,
		},
		{
			tenant: northwind, uid: "analytics", description: "Takes everything, 2 a second", limit: 2, answer: quick,
		},
		{
			tenant: northwind, uid: "fraud-check", description: "Nobody listens there", types: []string{"order.refunded"},
		},
		{
			tenant: northwind, uid: "large-refunds", description: "Refunds of 250 and more", types: []string{"order.refunded"},
			filter: `{"data": {"data": {"amount": {"$gte": 250}}}}`, answer: quick,
		},

		{tenant: globex, uid: "billing", description: "Invoices", types: []string{"invoice.*"}, answer: quick},
		{
			tenant: globex, uid: "ledger", description: "Stumbles over one in five, and gets it the second time",
			types: []string{"invoice.paid"}, schedule: []string{"3s", "30s"}, answer: stumbling,
		},
		{
			tenant: globex, uid: "crm", description: "Broken since its last release", types: []string{"customer.updated"},
			schedule: []string{"5s", "15s"}, answer: broken,
		},
		{
			tenant: globex, uid: "old-crm", description: "Was shut down", types: []string{"subscription.renewed"},
			answer: gone,
		},

		{
			tenant: initech, uid: "reports", description: "Was down for maintenance", types: []string{"report.filed"},
			schedule: []string{"1s"}, answer: closed,
		},
		{
			tenant: initech, uid: "staging", description: "Paused until the new office is ready",
			types: []string{"employee.joined"}, status: "paused", answer: quick,
		},
	}
}

// arrange makes the tenants' entries, the endpoints and the catalogue that are not there, and points the other
// endpoints at this process, whose port is another at each start. What somebody has changed about them stays.
func (w *World) arrange(ctx context.Context) error {
	for _, t := range tenants() {
		_, err := w.cfg.API.PutTenant(ctx, t.label, client.NewTenant{
			Name: &t.name, Contact: &t.contact, Metadata: map[string]string{"plan": t.plan},
		}, client.PutTenantParams{IfNoneMatch: "*"})
		refused, isRefusal := errors.AsType[*client.Error](err)
		if err != nil && (!isRefusal || refused.Status != http.StatusPreconditionFailed) {
			return fmt.Errorf("making the entry of %s: %w", t.label, err)
		}
	}

	for _, e := range cast() {
		if err := w.arrangeOne(ctx, e); err != nil {
			return fmt.Errorf("making the endpoint %s of %s: %w", e.uid, e.tenant, err)
		}
	}

	if err := w.describe(ctx); err != nil {
		return fmt.Errorf("making the catalogue: %w", err)
	}
	return nil
}

func (w *World) arrangeOne(ctx context.Context, e endpoint) error {
	url := "http://" + w.receiver.address + e.path()
	if e.answer == nil {
		url = "http://" + refusing + e.path()
	}

	found, err := w.cfg.API.ListEndpoints(ctx, client.ListEndpointsParams{TenantID: e.tenant, UID: e.uid})
	if err != nil {
		return err
	}
	if len(found.Items) > 0 {
		w.ids[e.path()] = found.Items[0].ID
		change := client.EndpointChange{URL: client.Set(url)}
		_, err = w.cfg.API.UpdateEndpoint(ctx, w.ids[e.path()], change, client.UpdateEndpointParams{})
		return err
	}

	made, err := w.cfg.API.CreateEndpoint(ctx, w.newEndpoint(e, url), client.CreateEndpointParams{})
	if err != nil {
		return err
	}

	w.ids[e.path()] = made.ID
	if e.status != "" {
		change := client.EndpointChange{Status: client.Set(e.status)}
		_, err = w.cfg.API.UpdateEndpoint(ctx, made.ID, change, client.UpdateEndpointParams{})
	}
	return err
}

func (w *World) newEndpoint(e endpoint, url string) client.NewEndpoint {
	secret := w.cfg.Secret.Reveal()
	made := client.NewEndpoint{
		TenantID: e.tenant, UID: &e.uid, URL: url, Description: &e.description, EventTypes: e.types, Secret: &secret,
	}

	if e.filter != "" {
		made.Filter = json.RawMessage(e.filter)
	}
	if e.schedule != nil {
		made.RetrySchedule = e.schedule
	}
	if e.limit > 0 {
		made.RateLimit = &client.RateLimit{Requests: e.limit, Per: "second", Burst: 1}
	}
	if e.timeoutMS > 0 {
		made.TimeoutMS = &e.timeoutMS
	}
	return made
}

// mendLook is how often the world looks whether what is to fail has failed.
const mendLook = 500 * time.Millisecond

// mend ends the maintenance of an endpoint once what came meanwhile has failed for good, and recovers it, as a person
// would. It is done once for a database: later worlds begin with it open.
func (w *World) mend(ctx context.Context) error {
	const down = "/" + initech + "/reports"
	id := w.ids[down]
	before, err := w.cfg.API.ListOperations(ctx, client.ListOperationsParams{EndpointID: id, Limit: 1})
	if err != nil || len(before.Items) > 0 {
		w.receiver.open(down)
		return silence(ctx, err)
	}

	look := time.NewTicker(mendLook)
	defer look.Stop()
	for {
		failed, err := w.cfg.API.ListDeliveries(ctx, client.ListDeliveriesParams{EndpointID: id, State: "failed"})
		if err != nil {
			return silence(ctx, err)
		}
		if len(failed.Items) >= overtureReports {
			break
		}

		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}

	w.receiver.open(down)
	order := client.NewRecover{Since: time.Now().Add(-time.Hour)}
	_, err = w.cfg.API.RecoverEndpoint(ctx, id, order, client.RecoverEndpointParams{})
	return silence(ctx, err)
}

// silence keeps to itself what failed because the world is to end.
func silence(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
	}
	if err != nil {
		err = fmt.Errorf("recovering an endpoint: %w", err)
	}
	return err
}

// answer is how a receiver answers a webhook that has passed the check of its signature.
type answer func(w http.ResponseWriter, r *http.Request)

// closed answers as long as the receiver is not open: see receiver.
func closed(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte("<html><head><title>503 Service Unavailable</title></head>" +
		"<body><h1>Down for maintenance</h1></body></html>\n"))
}
