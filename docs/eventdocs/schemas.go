package eventdocs

import "go.yaml.in/yaml/v3"

// schemas are JSON schemas of the envelope, of every shape and of every fact.
func (c Catalogue) schemas() *yaml.Node {
	out := object("envelope", envelopeSchema())
	seen := map[string]bool{}
	add := func(name, doc string, s Shape) {
		if !seen[name] {
			seen[name] = true
			out.Content = append(out.Content, object(name, schemaOf(s, doc)).Content...)
		}
	}
	c.each(func(_ Aggregate, e Event, v Version) { add(keyOf(e, v), v.Doc, v.Shape) })
	for _, a := range c.Aggregates {
		for _, e := range a.Events {
			for _, f := range e.Facts {
				add(f.Name, f.Doc, f.Shape)
			}
		}
	}
	return out
}

// schemaOf requires what is always written, and leaves room for members to come.
func schemaOf(s Shape, doc string) *yaml.Node {
	out := object()
	add := func(name string, value any) { out.Content = append(out.Content, object(name, value).Content...) }
	if s.Type != "" {
		add("type", s.Type)
	}
	if s.Format != "" {
		add("format", s.Format)
	}
	if doc != "" {
		add("description", doc)
	}
	if s.Items != nil {
		add("items", schemaOf(*s.Items, ""))
	}
	required, properties := list[string](), object()
	for _, f := range s.Fields {
		if !f.Optional {
			required.Content = append(required.Content, node(f.Name))
		}
		properties.Content = append(properties.Content, object(f.Name, schemaOf(f.Shape, f.Doc)).Content...)
	}
	if len(required.Content) > 0 {
		add("required", required)
	}
	if len(properties.Content) > 0 {
		add("properties", properties)
	}
	return out
}

// envelopeSchema says what package envelope writes; tests hold them together.
func envelopeSchema() *yaml.Node {
	text := func(description string) *yaml.Node {
		return object("type", "string", "minLength", 1, "description", description)
	}
	return object(
		"type", "object",
		"description", "an event as it travels",
		"required", list("id", "stream", "version", "name", "schema", "data", "recordedAt"),
		"properties", object(
			"id", text("of the event; the same in every repetition"),
			"stream", object("type", "string", "pattern", "^.+/[^/]+$", "description", "category/id of the aggregate"),
			"version", object("type", "integer", "minimum", 1, "description", "place in the stream, without a gap"),
			"name", text("of the event: category/fact"),
			"schema", object("type", "integer", "minimum", 1, "description", "version of the shape of data"),
			"data", object("description", "the payload, byte for byte as it was recorded"),
			"enrichment", object(
				"type", "array",
				"description", "facts about other aggregates, as they stood when the event was decided",
				"items", object(
					"type", "object",
					"required", list("aggregate", "id", "data"),
					"properties", object("aggregate", text("category"), "id", text("of the aggregate"), "data", object("description", "the fact")),
				),
			),
			"metadata", object(
				"type", "object",
				"additionalProperties", object("type", "string", "description", "an importer's own member"),
				"properties", object(
					"correlationId", object("type", "string", "description", "the same for all that one request set off"),
					"causationId", object("type", "string", "description", "of the command"),
					"actor", object("type", "string", "description", "the sender of the command"),
					"traceparent", object("type", "string", "description", "W3C trace context of the request"),
				),
			),
			"recordedAt", object(
				"type", "string", "format", "date-time",
				"pattern", `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, "description", "in UTC, to the millisecond",
			),
		),
	)
}
