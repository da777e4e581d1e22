// Package eventdocstest holds envelopes to the AsyncAPI document that describes them.
package eventdocstest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Messages are the messages of an AsyncAPI document.
type Messages map[string]*jsonschema.Schema

// document is any name for the document that is compiled.
const document = "https://leftfold.test/asyncapi"

// NewMessages compiles the payload schemas of the document's messages, which is YAML.
func NewMessages(text []byte) (Messages, error) {
	content, err := JSON(text)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7) // which AsyncAPI's schemas are a superset of
	compiler.AssertFormat()
	if err := compiler.AddResource(document, content); err != nil {
		return nil, err
	}
	var named struct {
		Components struct {
			Messages map[string]yaml.Node `yaml:"messages"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(text, &named); err != nil {
		return nil, err
	}
	out := Messages{}
	for name := range named.Components.Messages {
		if out[name], err = compiler.Compile(document + "#/components/messages/" + name + "/payload"); err != nil {
			return nil, fmt.Errorf("message %s: %w", name, err)
		}
	}
	return out, nil
}

// Match names the messages that an envelope is valid for; exactly one is as it should be.
func (m Messages) Match(envelope []byte) ([]string, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(envelope))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if m[name].Validate(value) == nil {
			out = append(out, name)
		}
	}
	return out, nil
}

// JSON returns what a document in YAML says as a validator of JSON takes it.
func JSON(text []byte) (any, error) {
	var content any
	if err := yaml.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	return content, nil
}
