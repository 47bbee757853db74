package web

import "time"

// Audit is a page of the audit trail.
type Audit struct {
	Filters  []Input
	Filtered bool
	Rows     []AuditRow
	Paging   Paging
}

// AuditRow is what somebody did.
type AuditRow struct {
	At                     time.Time
	Actor, KeyID, Address  string
	Action                 string
	ObjectType, ObjectID   string
	ObjectHref             string // "": it has no page
	Tenant                 string // "": nobody's in particular
	Detail                 []Header
	RequestID              string
	ActionHref, ObjectOnly string // the trail of this action, and of this object
}
