package simulation

import (
	"net/http"
	"strings"
)

// permanentMutants are bugs in telling what can never be moved on from what passes.
func permanentMutants() []mutant {
	return []mutant{
		{
			Name: "unacceptable record blocks its shard", Of: streaming, Means: "what is no event is read again for ever, and not set aside",
			shows: moving(moveUnacceptable),
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				if c.op != "DynamoDBStreams.GetRecords" {
					return a
				}
				for _, r := range list(object(a.body)["Records"]) {
					image := fields(fields(r)["dynamodb"])["NewImage"]
					if w.ledger.cannotCarry(place{scalar(image, "stream"), scalar(image, "version")}) {
						return refusal("InternalServerError")
					}
				}
				return a
			},
		},
		takenForPermanent("passing error taken for permanent", "an event is set aside after an error that passes", func(code string) bool {
			return strings.Contains(code, "Thr") || strings.Contains(code, "Internal")
		}),
		takenForPermanent("AccessDenied taken for permanent", "an event is set aside while a right is missing", func(code string) bool {
			return strings.Contains(code, "AccessDenied")
		}),
	}
}

func refusal(code string) *answer {
	return &answer{status: http.StatusBadRequest, header: http.Header{}, body: encode(map[string]any{"__type": code})}
}

// takenForPermanent lets a sender see errors of some codes as those about an entry itself.
func takenForPermanent(name, means string, is func(code string) bool) mutant {
	return mutant{
		Name: name, Means: means,
		call: func(_ *world, c *call, next func(*call) *answer) *answer {
			permanent, sends := map[string]string{
				"Kinesis.PutRecords": "InvalidArgumentException", "AmazonSQS.SendMessageBatch": "InvalidMessageContents",
			}[c.op]
			a := next(c)
			if !sends || a.err != nil {
				return a
			}
			body := object(a.body)
			if !a.ok() && is(text(body["__type"])) {
				return refusal(permanent)
			}
			for _, f := range list(body["Failed"]) {
				if is(text(fields(f)["Code"])) {
					fields(f)["Code"] = permanent
				}
			}
			return a.with(body)
		},
	}
}
