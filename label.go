package outhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

func checkLabels(labels []string) *InvalidEventError {
	if len(labels) > MaxLabels {
		return invalid("labels", "are more than 10")
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabelBytes || strings.ContainsFunc(label, isNoLabel) {
			return invalid("labels", "must be names of letters, digits and _ . : -, each of at most 64 bytes")
		}
	}
	return nil
}

func isNoLabel(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("_.:-", r) }

func isLetterOrDigit(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

func checkHeaders(headers map[string]string) *InvalidEventError {
	if len(headerText(headers)) > MaxHeaderBytes {
		return invalid("headers", "are larger than 2048 bytes")
	}

	for name, value := range headers {
		if !isAllowedHeader(name) {
			return invalid("headers", "must have names in lower case that begin with x-, or be baggage or tracestate; "+
				"and not those by which proxies tell of clients and paths, like x-forwarded-for")
		}
		if value == "" || strings.TrimSpace(value) != value || strings.ContainsFunc(value, isNotVisible) {
			return invalid("headers", "must have values of visible ASCII characters")
		}
	}
	return nil
}

func isNotVisible(r rune) bool { return r < ' ' || r > '~' }

// isAllowedHeader tells whether a header of an event may have a name. It goes to receivers of all kinds, so it must
// mean nothing to what is in front of them. The SQL function has the same rule.
func isAllowedHeader(name string) bool {
	if name == "baggage" || name == "tracestate" {
		return true
	}

	rest, found := strings.CutPrefix(name, "x-")
	if !found || rest == "" || len(rest) > 100 {
		return false
	}
	for _, prefix := range []string{"forwarded", "real-ip", "original", "rewrite", "http-method", "method"} {
		if strings.HasPrefix(rest, prefix) {
			return false
		}
	}
	return !strings.ContainsFunc(rest, func(r rune) bool {
		return r != '-' && (!isLetterOrDigit(r) || 'A' <= r && r <= 'Z')
	})
}

// headerText is the JSON object of headers, "" without any.
func headerText(headers map[string]string) string {
	if len(headers) == 0 {
		return ""
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(headers); err != nil {
		return "" // not for a map of strings
	}
	return strings.TrimSpace(b.String())
}

// labelText is the text form of a text[] of labels, "" without any.
func labelText(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return arrayLiteral(labels)
}

// checkDeliverAt goes by the clock of this machine; the SQL function has that of the database.
func checkDeliverAt(at time.Time) *InvalidEventError {
	if time.Until(at) > MaxDelay {
		return invalid("deliver_at", "must be at most 30 days ahead")
	}
	return nil
}

// timeText is the text form of a timestamptz: of the zero time one that is always past.
func timeText(at time.Time) string {
	if at.IsZero() {
		return "-infinity"
	}
	return at.UTC().Format("2006-01-02T15:04:05.999999Z")
}
