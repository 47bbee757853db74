package web

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Mark is a state: an icon, a word, and a tone (ok, warn, bad, info or mute).
type Mark struct{ Tone, Icon, Text string }

// DeliveryMark returns the mark of a delivery's state.
func DeliveryMark(state string) Mark {
	switch state {
	case "succeeded":
		return Mark{"ok", "check", "Succeeded"}
	case "pending":
		return Mark{"info", "clock", "Pending"}
	case "failed":
		return Mark{"bad", "cross", "Failed"}
	case "cancelled":
		return Mark{"mute", "stop", "Cancelled"}
	}
	return Mark{"mute", "dot", state}
}

// OutcomeMark returns the mark of an attempt's outcome.
func OutcomeMark(outcome string) Mark {
	switch outcome {
	case "succeeded":
		return Mark{"ok", "check", "Succeeded"}

	case "rejected":
		return Mark{"bad", "cross", "Rejected"}
	case "timed_out":
		return Mark{"warn", "clock", "Timed out"}
	case "unreachable":
		return Mark{"bad", "unplug", "Unreachable"}
	case "blocked":
		return Mark{"bad", "stop", "Blocked"}
	}
	return Mark{"mute", "dot", "Unknown"}
}

// EndpointMark returns the mark of an endpoint's status and health.
func EndpointMark(status, health string) Mark {
	switch {
	case status == "paused":
		return Mark{"warn", "pause", "Paused"}
	case status == "disabled":
		return Mark{"bad", "stop", "Disabled"}
	case health == "failing":
		return Mark{"warn", "alert", "Failing"}
	}
	return Mark{"ok", "check", "Healthy"}
}

func toneIcon(tone string) string {
	switch tone {
	case "ok":
		return "check"
	case "bad":
		return "cross"
	case "warn":
		return "alert"
	}
	return "dot"
}

// Or returns the first text that is not empty.
func Or(texts ...string) string { return cmp.Or(texts...) }

// Count writes a number with spaces of thousands.
func Count(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Things writes a number and a noun, whose plural has an s.
func Things(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Count(n) + " " + strings.TrimSuffix(noun, "y") + plural(noun)
}

func plural(noun string) string {
	if strings.HasSuffix(noun, "y") {
		return "ies"
	}
	return "s"
}

// Milliseconds writes a duration that is given in milliseconds, with the unit that suits it.
func Milliseconds(ms float64) string {
	switch {
	case ms < 1:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	case ms < 60_000:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", ms/1000), ".0") + " s"
	}
	return Span(time.Duration(ms) * time.Millisecond)
}

// Span writes a duration with its two largest units.
func Span(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// Short returns the end of an id, which tells ids of one moment apart.
func Short(id string) string {
	if len(id) <= 12 {
		return id
	}
	return "…" + id[len(id)-8:]
}

// word is a part of a text: a moment, code, or what stands between.
type word struct {
	text string
	at   time.Time // zero: it is none
	code bool
}

// wordPattern is how the API writes moments and code in sentences.
var wordPattern = regexp.MustCompile("`([^`]+)`" + `|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

func words(text string) (list []word) {
	for text != "" {
		at := wordPattern.FindStringSubmatchIndex(text)
		if at == nil {
			return append(list, word{text: text})
		}

		list = append(list, word{text: text[:at[0]]})
		found := word{text: text[at[0]:at[1]]}
		if at[2] >= 0 {
			found = word{text: text[at[2]:at[3]], code: true}
		} else if moment, err := time.Parse(time.RFC3339Nano, found.text); err == nil {
			found = word{at: moment}
		}
		list, text = append(list, found), text[at[1]:]
	}
	return list
}

// Bytes writes a size with the unit that suits it.
func Bytes(n int) string {
	size, unit := float64(n), 0
	units := []string{"bytes", "kB", "MB", "GB", "TB"}
	for size >= 999.5 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	if unit == 0 {
		return Things(n, "byte")
	}
	return fmt.Sprintf("%.3g %s", size, units[unit])
}

// Percent writes a part of a whole.
func Percent(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	p := 100 * float64(part) / float64(whole)
	if part < whole && p > 99.9 {
		p = 99.9 // not all is not 100 %
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", p), ".0") + " %"
}
