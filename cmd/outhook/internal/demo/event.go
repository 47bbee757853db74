package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/outhook/outhook"
)

// kind is a type of event and how often it comes.
type kind struct {
	tenant, name string
	weight       int
	data         func(*rand.Rand) any
}

// kinds are all that happens. Nobody is subscribed to a session.started or an employee.left; northwind's analytics
// takes whatever northwind has.
func kinds() []kind {
	return []kind{
		{northwind, "order.created", 20, order},
		{northwind, "order.paid", 14, order},
		{northwind, "order.shipped", 12, shipment},
		{northwind, "order.refunded", 2, refund},
		{northwind, "cart.abandoned", 5, order},

		{globex, "invoice.created", 11, invoice},
		{globex, "invoice.paid", 11, invoice},
		{globex, "customer.updated", 3, customer},
		{globex, "subscription.renewed", 5, subscription},
		{globex, "session.started", 5, session},

		{initech, "report.filed", 5, report},
		{initech, "employee.joined", 1, employee},
		{initech, "employee.left", 1, employee},
	}
}

// overtureReports is how many of the first events meet an endpoint that is down.
const overtureReports = 3

// overture are the first events: one of each kind, and more of those that take a while to show what comes of them.
func overture(r *rand.Rand) (events []outhook.Event) {
	events = append(events, event(r, globex, "invoice.paid"))
	for _, k := range kinds() {
		events = append(events, event(r, k.tenant, k.name))
	}
	for range overtureReports {
		events = append(events, event(r, initech, "report.filed"), event(r, globex, "customer.updated"),
			event(r, northwind, "order.shipped"), event(r, northwind, "order.refunded"))
	}
	return events
}

// anyEvent is the next thing that happens.
func anyEvent(r *rand.Rand) outhook.Event {
	all, sum := kinds(), 0
	for _, k := range all {
		sum += k.weight
	}

	at := r.IntN(sum)
	for _, k := range all {
		if at -= k.weight; at < 0 {
			return k.event(r)
		}
	}
	panic("the weights' sum is less than itself")
}

// event is one of a kind that there is.
func event(r *rand.Rand, tenant, name string) outhook.Event {
	for _, k := range kinds() {
		if k.tenant == tenant && k.name == name {
			return k.event(r)
		}
	}
	panic(fmt.Sprintf("%s has no %s", tenant, name))
}

// event has the payload that Standard Webhooks advises: the type, the time of the change, and what is new.
func (k kind) event(r *rand.Rand) outhook.Event {
	e, err := outhook.Envelope[any]{Type: k.name, Timestamp: time.Now(), Data: k.data(r)}.Event(k.tenant)
	if err != nil {
		panic(err) // what data returns can be encoded
	}
	return e
}

// one returns one of a list.
func one[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// id is a name as services give them.
func id(r *rand.Rand, prefix string) string { return fmt.Sprintf("%s_%08x", prefix, r.Uint32()) }

// money is an amount of 5 to 500 with cents, as a decimal number: a float would not keep it.
func money(r *rand.Rand) json.Number {
	return json.Number(fmt.Sprintf("%d.%02d", 5+r.IntN(495), r.IntN(100)))
}

func person(r *rand.Rand) string {
	return one(r, "Ada Okafor", "Bruno Lindqvist", "Chiara Novak", "Dmitri Hansen", "Esra Yıldız", "Femi Laurent",
		"Grace Tanaka", "Henrik Moreau")
}

type line struct {
	SKU      string      `json:"sku"`
	Quantity int         `json:"quantity"`
	Price    json.Number `json:"price"`
}

func order(r *rand.Rand) any {
	lines := make([]line, 1+r.IntN(3))
	for i := range lines {
		lines[i] = line{one(r, "MUG-BLUE", "TEE-M-BLACK", "POSTER-A2", "NOTEBOOK-3", "LAMP-OAK"), 1 + r.IntN(3), money(r)}
	}
	return struct {
		ID       string `json:"id"`
		Customer string `json:"customer"`
		Currency string `json:"currency"`
		Lines    []line `json:"lines"`
	}{id(r, "ord"), person(r), one(r, "EUR", "USD", "GBP"), lines}
}

func shipment(r *rand.Rand) any {
	return struct {
		Order    string `json:"order"`
		Carrier  string `json:"carrier"`
		Tracking string `json:"tracking"`
		City     string `json:"city"`
	}{
		id(r, "ord"), one(r, "PostNord", "DPD", "La Poste"), fmt.Sprintf("%012d", r.Int64N(1e12)),
		one(r, "Aarhus", "Bologna", "Kraków", "Lyon", "Porto"),
	}
}

func refund(r *rand.Rand) any {
	return struct {
		ID     string      `json:"id"`
		Order  string      `json:"order"`
		Amount json.Number `json:"amount"`
		Reason string      `json:"reason"`
	}{id(r, "ref"), id(r, "ord"), money(r), one(r, "damaged", "does not fit", "never arrived")}
}

func invoice(r *rand.Rand) any {
	return struct {
		ID       string      `json:"id"`
		Number   string      `json:"number"`
		Customer string      `json:"customer"`
		Amount   json.Number `json:"amount"`
		Currency string      `json:"currency"`
	}{id(r, "in"), fmt.Sprintf("2026-%05d", r.IntN(100_000)), id(r, "cus"), money(r), one(r, "EUR", "USD")}
}

func customer(r *rand.Rand) any {
	return struct {
		ID      string   `json:"id"`
		Name    string   `json:"name"`
		Changed []string `json:"changed"`
	}{id(r, "cus"), person(r), []string{one(r, "address", "email", "segment", "language")}}
}

func subscription(r *rand.Rand) any {
	return struct {
		ID    string `json:"id"`
		Plan  string `json:"plan"`
		Seats int    `json:"seats"`
		Until string `json:"until"`
	}{id(r, "sub"), one(r, "team", "business"), 1 + r.IntN(40), time.Now().AddDate(1, 0, 0).Format(time.DateOnly)}
}

func session(r *rand.Rand) any {
	return struct {
		User   string `json:"user"`
		Device string `json:"device"`
	}{id(r, "usr"), one(r, "desktop", "phone", "tablet")}
}

func report(r *rand.Rand) any {
	return struct {
		ID    string `json:"id"`
		Title string `json:"title"`
		Pages int    `json:"pages"`
		By    string `json:"by"`
	}{id(r, "rep"), one(r, "TPS", "Quarterly forecast", "Printer incidents", "Office move"), 1 + r.IntN(60), person(r)}
}

func employee(r *rand.Rand) any {
	return struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Team string `json:"team"`
	}{id(r, "emp"), person(r), one(r, "Accounting", "Facilities", "Software")}
}
