// Package yamlvalue reads YAML as encoding/json would have its values; begin with [Reader].
package yamlvalue

import (
	"encoding/json"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Fault is what can't be read in a file.
type Fault struct {
	Line    int
	Message string
}

// Reader makes values as encoding/json has them of YAML's. Texts keep their bytes, dates too.
type Reader struct {
	Left  *int           // how many nodes there may be yet
	Lines map[string]int // gets the line of each member of the first mapping
}

// Value returns the value of a node.
func (r *Reader) Value(n *yaml.Node) (any, *Fault) {
	if *r.Left--; *r.Left < 0 {
		return nil, &Fault{n.Line, "the file's aliases make it too large"}
	}

	switch n.Kind {
	case yaml.AliasNode:
		return r.Value(n.Alias)
	case yaml.MappingNode:
		return r.mapping(n)
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			v, fault := r.Value(item)
			if fault != nil {
				return nil, fault
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.ScalarNode, yaml.DocumentNode:
	}
	return scalar(n)
}

func scalar(n *yaml.Node) (any, *Fault) {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!null":
		return nil, nil //nolint:nilnil // null is a value

	case "!!int", "!!float", "!!bool":
		if json.Valid([]byte(n.Value)) {
			return json.RawMessage(n.Value), nil // a number's digits
		}
		var v any
		if err := n.Decode(&v); err == nil {
			if data, err := json.Marshal(v); err == nil {
				return json.RawMessage(data), nil
			}
		}
	}
	return nil, &Fault{n.Line, "this is no text, number, truth value or null"}
}

// mapping reads a mapping. What << merges into it gives way to its own members.
func (r *Reader) mapping(n *yaml.Node) (any, *Fault) {
	lines := r.Lines
	r.Lines = nil // those below are not members of the first
	m, merged := map[string]any{}, map[string]any{}

	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		v, fault := r.Value(n.Content[i+1])
		switch {
		case fault != nil:
			return nil, fault
		case key.ShortTag() == "!!merge":
			if !mergeInto(merged, v) {
				return nil, &Fault{key.Line, "<< takes a mapping, or a list of them"}
			}
			continue
		case key.Kind != yaml.ScalarNode:
			return nil, &Fault{key.Line, "a name must be a text"}
		}

		if _, double := m[key.Value]; double {
			return nil, &Fault{key.Line, key.Value + " is given twice"}
		}
		m[key.Value] = v
		if lines != nil {
			lines[key.Value] = key.Line
		}
	}

	for name, v := range merged {
		if _, own := m[name]; own {
			continue
		}
		m[name] = v
		if lines != nil {
			lines[name] = n.Line
		}
	}
	return m, nil
}

// mergeInto adds the members of a mapping, or of a list of them, to those that there are. The first one wins.
func mergeInto(merged map[string]any, v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if _, there := merged[name]; !there {
				merged[name] = member
			}
		}
		return true

	case []any:
		return !slices.ContainsFunc(v, func(one any) bool {
			_, isMapping := one.(map[string]any)
			return !isMapping || !mergeInto(merged, one)
		})
	}
	return false
}
