# Turns archived events, one a line, into items of the log, in the form of DynamoDB's import from S3 (DYNAMODB_JSON).
# docs/operations.md describes its use; deploy/terraform/check reads the result through the store.
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
