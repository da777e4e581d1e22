package simulation

import (
	"strings"

	"github.com/leftfold/leftfold/pkg/iam/buildtest"
)

// upgradeMutants are bugs that show while two builds run.
func upgradeMutants() []mutant {
	return []mutant{
		{
			Name: "written before it is read", Means: "the first release that knows a shape writes it at once",
			shows: func(p *Plan) { p.Upgrade, p.Rebuilds, p.LogLost = upgradeInTwo, false, false },
			build: func(b buildtest.Build) buildtest.Build {
				if b == buildtest.Reader {
					return buildtest.Writer
				}
				return b
			},
		},
		{
			Name: "parked for good by an older build", Means: "a projector does not say that it parks what it does not know",
			shows: func(p *Plan) { p.Upgrade, p.Rebuilds, p.LogLost = upgradeAtOnce, false, false },
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				body := object(c.raw)
				for _, each := range list(body["TransactItems"]) {
					if _, _, put := tableOf(fields(each)); strings.HasPrefix(scalar(put["Item"], "row"), "parked#") {
						delete(fields(put["Item"]), "unknown")
						return next(c.with(body))
					}
				}
				return next(c)
			},
		},
	}
}
