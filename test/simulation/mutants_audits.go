package simulation

import "time"

// auditMutants are bugs in how read models are audited and repaired.
func auditMutants() []mutant {
	fences := map[string]uint64{} // that an audit has read, by process and own row
	return []mutant{
		{
			Name: "repair of a row that moved", Of: auditing, Means: "a repair writes what it has folded, whatever was applied meanwhile",
			shows: func(p *Plan) {
				damaging(p)
				p.Pause, p.Every, p.Moves = 20, time.Second, []string{moveDamage}
			},
			call: unfenced,
		},
		{
			Name: "stale row not noticed", Of: auditing, Means: "an audit compares a row with the log up to the row's version only",
			shows: damaging,
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				body := object(a.body)
				switch table := text(c.body["TableName"]); {
				case c.op == "DynamoDB.GetItem" && isModel(w, table):
					fences[c.life.instance+scalar(body["Item"], "stream")] = uint64(number(scalar(body["Item"], "version")))
				case c.op == "DynamoDB.Query" && table == w.names.EventLog:
					fence := fences[c.life.instance+scalar(c.body["ExpressionAttributeValues"], ":stream")]
					var kept []any
					for _, each := range list(body["Items"]) {
						if fence == 0 || uint64(number(scalar(each, "version"))) <= fence {
							kept = append(kept, each)
						}
					}
					if len(kept) > 0 && len(kept) < len(list(body["Items"])) {
						body["Items"], body["Count"] = kept, len(kept)
						return a.with(body)
					}
				}
				return a
			},
		},
	}
}
