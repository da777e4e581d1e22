# One archived event a line → one item of the log a line, in the form that DynamoDB's import from S3 takes (DYNAMODB_JSON).
# docs/operations.md says how to use it; deploy/terraform/check reads the result back through the store.
def text: {S: .};
def number: {N: tostring};
{Item: (
  {
    stream: (.stream | text), version: (.version | number), id: (.id | text), name: (.name | text), schema: (.schema | number),
    data: (.data | tojson | text), recorded_at: (.recordedAt | text)
  }
  + (if .metadata then {metadata: {M: (.metadata | {
      correlation: .correlationId, causation: .causationId, actor: .actor, traceparent: .traceparent
    } + del(.correlationId, .causationId) | with_entries(select(.value) | .value |= text))}} else {} end)
  + (if .enrichment then {enrichment: {L: [.enrichment[] | {M: {
      aggregate: (.aggregate | text), id: (.id | text), data: (.data | tojson | text)
    }}]}} else {} end)
)}
