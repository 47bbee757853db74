package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/outhook/outhook/db"
	"github.com/outhook/outhook/internal/signature"
	"github.com/outhook/outhook/internal/strictjson"
)

// textRule is what an object of texts may hold.
type textRule struct {
	member      string
	most, bytes int                             // of entries, and of their names and values
	check       func(name, value string) string // of headers, whose names have no case: what is wrong, or ""
}

func (e *endpointEdit) setMetadata(value json.RawMessage) {
	e.row.Metadata = e.mergeMetadata(value, e.row.Metadata)
}

func (e *endpointEdit) setHeaders(value json.RawMessage) {
	rule := textRule{"headers", maxHeaders, maxHeaderBytes, checkHeader}
	e.row.Headers = e.mergeStored(rule, value, e.row.Headers)
}

func (e *endpointEdit) setSecretHeaders(value json.RawMessage) {
	rule := textRule{"secret_headers", maxHeaders, maxHeaderBytes, checkSecretHeader}
	e.secretPatch = e.patch(rule, value)
	e.secretHeaders = e.merge(rule, e.secretPatch, e.openSecretHeaders())
}

// openSecretHeaders decrypts the secret headers that a patch leaves as they are, if there are any.
func (e *endpointEdit) openSecretHeaders() map[string]string {
	_, names, err := signature.HeaderKeys(e.row.SecretHeaders)
	if e.secretPatch == nil || err == nil && len(slices.DeleteFunc(names, e.secretPatch.has)) == 0 {
		return nil
	}

	stored, err := e.cfg.Keyring.OpenHeaders(e.row.SecretHeaders, e.row.ID[:])
	if err != nil {
		e.faults.Add(e.at+".secret_headers", "can't be merged with those that are stored, which can't be decrypted: "+
			"give each of them again, or null for none")
	}
	return stored
}

// mergeMetadata merges an object of metadata with what is stored, and returns what is to be.
func (e *memberReader) mergeMetadata(value, stored json.RawMessage) json.RawMessage {
	return e.mergeStored(textRule{member: "metadata", most: maxMetadata, bytes: maxMetaBytes}, value, stored)
}

// mergeStored merges an object that a body gives with what is stored, and returns what is to be.
func (e *memberReader) mergeStored(rule textRule, value, stored json.RawMessage) json.RawMessage {
	data, err := json.Marshal(e.merge(rule, e.patch(rule, value), textsOf(stored)))
	if err != nil {
		e.faults.Add(e.at+"."+rule.member, "must be an object of strings") // not for a map of strings
	}
	return data
}

// patch reads an object of texts and nulls. It returns nil for null, and for what is none.
func (e *memberReader) patch(rule textRule, value json.RawMessage) textPatch {
	if strictjson.IsNull(value) {
		return nil
	}

	at, before := e.at+"."+rule.member, len(e.faults)
	p := textPatch(strictjson.TextPatch(value, at, &e.faults))
	if len(e.faults) > before || rule.check == nil {
		return p
	}

	seen := map[string]bool{}
	for name, v := range p {
		if v != nil {
			if message := rule.check(name, *v); message != "" {
				e.faults.Add(strictjson.MemberLocation(at, name), message)
			}
		}
		if seen[strings.ToLower(name)] {
			e.faults.Add(strictjson.MemberLocation(at, name), "is given twice: case has no meaning here")
		}
		seen[strings.ToLower(name)] = true
	}
	return p
}

// merge returns what an object of texts is to be after a patch.
func (e *memberReader) merge(rule textRule, p textPatch, stored map[string]string) map[string]string {
	merged := map[string]string{}
	if p != nil {
		maps.Copy(merged, stored)
	}
	if rule.check != nil {
		maps.DeleteFunc(merged, func(name, _ string) bool { return p.has(name) })
	}
	for name, v := range p {
		if v == nil {
			delete(merged, name)
			continue
		}
		merged[name] = *v
	}

	bytes := 0
	for name, v := range merged {
		bytes += len(name) + len(v)
	}
	if len(merged) > rule.most || bytes > rule.bytes {
		e.faults.Add(e.at+"."+rule.member,
			fmt.Sprintf("must have at most %d entries and %d bytes of names and values", rule.most, rule.bytes))
	}
	return merged
}

// checkMove refuses to send an endpoint's credentials to another host: whoever changes the URL gives each of them
// again, or gives it up.
func (e *endpointEdit) checkMove(before db.Endpoint) {
	if len(e.faults) > 0 || origin(before.URL) == origin(e.row.URL) {
		return
	}

	_, names, err := signature.HeaderKeys(before.SecretHeaders)
	gone := e.secretHeaders != nil && e.secretPatch == nil
	if gone || err == nil && len(slices.DeleteFunc(names, e.secretPatch.has)) == 0 {
		return
	}
	e.faults.Add(e.at+".secret_headers", "are those of another scheme, host or port: "+
		"give each of them again together with this url, or null for none")
}

// origin returns the scheme, host and port of a URL.
func origin(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return text
	}

	port := u.Port()
	switch {
	case port != "":
	case strings.EqualFold(u.Scheme, "http"):
		port = "80"
	default:
		port = "443"
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}

// checkDoubles refuses a header that would be both secret and not.
func (e *endpointEdit) checkDoubles() {
	if len(e.faults) > 0 {
		return
	}

	var plain map[string]string
	if err := json.Unmarshal(e.row.Headers, &plain); err != nil {
		e.faults.Add(e.at+".headers", "must be an object of strings") // not for what was decoded or stored before
	}

	secret := map[string]bool{}
	for name := range e.secretHeaders {
		secret[strings.ToLower(name)] = true
	}
	if e.secretHeaders == nil && len(e.row.SecretHeaders) > 0 {
		_, names, err := signature.HeaderKeys(e.row.SecretHeaders)
		if err != nil {
			e.faults.Add(e.at+".secret_headers", "can't be read: give them again") // not for what was stored before
		}
		for _, name := range names {
			secret[name] = true
		}
	}

	for name := range plain {
		if secret[strings.ToLower(name)] {
			e.faults.Add(strictjson.MemberLocation(e.at+".headers", name), "is among secret_headers too: a header has one value")
		}
	}
}
