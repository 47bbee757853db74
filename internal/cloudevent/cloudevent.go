// Package cloudevent makes requests CloudEvents 1.0 in binary mode, which is headers beside a body that stays as it is
// (HTTP protocol binding 1.0.2, section 3.1). The attribute datacontenttype is the header content-type.
package cloudevent

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Format is the format of endpoints whose requests are CloudEvents.
const Format = "cloudevents"

// Event is what the headers tell. Its source is the tenant's.
type Event struct {
	ID, Type, TenantID string
	At                 time.Time
}

// AddTo sets the headers. The source is a URI reference with the tenant as one segment; its percent signs are encoded
// as in every attribute's header (3.1.3.2).
func (e Event) AddTo(header http.Header) {
	header.Set("ce-specversion", "1.0")
	header.Set("ce-id", e.ID)
	header.Set("ce-type", e.Type)
	header.Set("ce-source", strings.ReplaceAll("/tenants/"+url.PathEscape(e.TenantID), "%", "%25"))
	header.Set("ce-time", e.At.UTC().Format(time.RFC3339Nano))
}

// IsHeader tells whether AddTo sets a header, by its canonical name.
func IsHeader(name string) bool {
	switch name {
	case "Ce-Specversion", "Ce-Id", "Ce-Type", "Ce-Source", "Ce-Time":
		return true
	}
	return false
}
