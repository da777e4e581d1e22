package eventdocs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// object is a YAML mapping of names and values by turns, in that order. A nil value leaves its name out.
func object(pairs ...any) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode}
	for pair := range slices.Chunk(pairs, 2) {
		if value := node(pair[1]); value != nil {
			out.Content = append(out.Content, node(pair[0]), value)
		}
	}
	return out
}

func list[T any](values ...T) *yaml.Node {
	out := &yaml.Node{Kind: yaml.SequenceNode}
	for _, v := range values {
		out.Content = append(out.Content, node(v))
	}
	return out
}

// node takes what YAML has scalars for, nodes, and JSON, which stays on one line.
func node(value any) *yaml.Node {
	var out yaml.Node
	switch v := value.(type) {
	case nil:
		return nil
	case *yaml.Node:
		return v
	case json.RawMessage:
		if err := yaml.Unmarshal(v, &out); err != nil {
			panic(fmt.Sprintf("catalogue: %s is not JSON: %v", v, err)) // it was decoded before
		}
		out.Content[0].Style = yaml.FlowStyle
		return out.Content[0]
	default:
		if err := out.Encode(v); err != nil {
			panic(fmt.Sprintf("catalogue: %T in YAML: %v", v, err))
		}
		return &out
	}
}

func marshal(n *yaml.Node) ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(n); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return b.Bytes(), encoder.Close()
}
