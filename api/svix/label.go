package svix

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/outhook/outhook/api/client"
	"github.com/outhook/outhook/internal/problem"
)

// Channels and tags are labels of the API's: endpoints choose by channels, and tags are only looked for.
const (
	// tagPrefix is before the tags among labels. No channel of Svix's begins with it.
	tagPrefix = "tag:"

	// How many a message may have: together those labels that an event has.
	maxChannels = 5
	maxTags     = 5
)

// labelPattern is the API's for labels.
var labelPattern = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

const labelRule = "must be letters, digits and - _ . : alone, 64 at most (60 of a tag), and no channel begins with tag:"

// labelsIn reads a list of channels or tags; prefix is that of tags.
func labelsIn(value json.RawMessage, at, prefix string, f *problem.Faults) []string {
	if !isGiven(value) {
		return nil
	}

	var names []string
	if json.Unmarshal(value, &names) != nil {
		f.Add(at, labelRule)
		return nil
	}
	labels := []string{}
	for _, name := range names {
		label, ok := labelOf(name, prefix)
		if !ok {
			f.Add(at, labelRule)
			return nil
		}
		if !slices.Contains(labels, label) {
			labels = append(labels, label)
		}
	}
	return labels
}

// labelOf returns the label of a channel, or of a tag.
func labelOf(name, prefix string) (label string, ok bool) {
	label = prefix + name
	return label, labelPattern.MatchString(label) && (prefix != "" || !strings.HasPrefix(name, tagPrefix))
}

// labels returns those of a message.
func (in *messageIn) labels(f *problem.Faults) []string {
	channels := labelsIn(in.Channels, "body.channels", "", f)
	if len(channels) > maxChannels {
		f.Add("body.channels", "must be 5 at most")
	}
	tags := labelsIn(in.Tags, "body.tags", tagPrefix, f)
	if len(tags) > maxTags {
		f.Add("body.tags", "must be 5 at most")
	}
	return append(channels, tags...)
}

// channelsOf parts labels into channels and tags, nil for none.
func channelsOf(labels []string) (channels, tags []string) {
	for _, label := range labels {
		if tag, ok := strings.CutPrefix(label, tagPrefix); ok {
			tags = append(tags, tag)
		} else {
			channels = append(channels, label)
		}
	}
	return channels, tags
}

// labelParams returns the labels that a list is asked for by.
func (v *visit) labelParams() (labels []string, err error) {
	for _, p := range []struct{ name, prefix string }{{"channel", ""}, {"tag", tagPrefix}} {
		name := v.param(p.name)
		if name == "" {
			continue
		}
		label, ok := labelOf(name, p.prefix)
		if !ok {
			return nil, problem.Invalid("query."+p.name, labelRule)
		}
		labels = append(labels, label)
	}
	return labels, nil
}

// listens tells whether an endpoint gets messages of these channels.
func listens(e client.Endpoint, channels []string) bool {
	return len(e.Labels) == 0 ||
		slices.ContainsFunc(channels, func(name string) bool { return slices.Contains(e.Labels, name) })
}
