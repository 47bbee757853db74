package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what a YAML document with aliases grows to.
const maxNodes = 1_000_000

// errManyNodes is the error of a document that its aliases make huge.
var errManyNodes = errors.New("the YAML is too large, with what its aliases stand for")

// FromYAML makes JSON of YAML, which may be JSON already. Members keep their order, and numbers their digits.
func FromYAML(document []byte) (json.RawMessage, error) {
	if text := bytes.TrimSpace(document); json.Valid(text) {
		return text, nil
	}

	var node yaml.Node
	if err := yaml.Unmarshal(document, &node); err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	if len(node.Content) != 1 {
		return nil, errors.New("the YAML is empty")
	}
	left := maxNodes
	return jsonOf(node.Content[0], &left)
}

func jsonOf(n *yaml.Node, left *int) (json.RawMessage, error) {
	if *left--; *left < 0 {
		return nil, errManyNodes
	}

	switch n.Kind {
	case yaml.AliasNode:
		return jsonOf(n.Alias, left)
	case yaml.MappingNode:
		return objectOfYAML(n, left)
	case yaml.SequenceNode:
		list := make([]json.RawMessage, len(n.Content))
		for i, item := range n.Content {
			var err error
			if list[i], err = jsonOf(item, left); err != nil {
				return nil, err
			}
		}
		return encodeArray(list), nil
	case yaml.ScalarNode:
		return scalarOf(n)
	case yaml.DocumentNode:
	}
	return nil, fmt.Errorf("line %d: can't be JSON", n.Line)
}

func objectOfYAML(n *yaml.Node, left *int) (json.RawMessage, error) {
	o := object{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return nil, fmt.Errorf("line %d: a name must be a text: merge keys and others can't be JSON", key.Line)
		}

		value, err := jsonOf(n.Content[i+1], left)
		if err != nil {
			return nil, err
		}
		o = append(o, member{key.Value, value})
	}
	return o.encode(), nil
}

// scalarOf writes a scalar. A date is a text: JSON has none.
func scalarOf(n *yaml.Node) (json.RawMessage, error) {
	switch n.ShortTag() {
	case "!!null":
		return json.RawMessage("null"), nil
	case "!!bool":
		var v bool
		err := n.Decode(&v)
		return json.RawMessage(strconv.FormatBool(v)), err

	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.RawMessage(n.Value), nil
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, err
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("line %d: is a number that JSON has not", n.Line)
		}
		return text, nil
	}
	return quote(n.Value), nil
}

// ToYAML makes YAML of JSON.
func ToYAML(document json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(yamlOf(document)); err != nil {
		return nil, fmt.Errorf("writing YAML: %w", err)
	}
	return b.Bytes(), nil
}

func yamlOf(raw json.RawMessage) *yaml.Node {
	raw = bytes.TrimSpace(raw)
	switch {
	case isObject(raw):
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, m := range known(raw) {
			n.Content = append(n.Content, textNode(m.name), yamlOf(m.value))
		}
		return n

	case isArray(raw):
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for _, value := range arrayOf(raw) {
			n.Content = append(n.Content, yamlOf(value))
		}
		return n
	case len(raw) > 0 && raw[0] == '"':
		return textNode(textOf(raw))
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: string(raw)} // a number, true, false, null: the same in both
}

func textNode(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}
