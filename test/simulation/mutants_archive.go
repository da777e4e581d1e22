package simulation

import (
	"net/url"
	"regexp"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// randomPart is what makes the names of an archive's objects differ.
var randomPart = regexp.MustCompile(`-[A-Z2-7]{26}\.gz`) // read only

// archiveMutants are bugs in how the archive is written, and compared with the log.
func archiveMutants() []mutant {
	return []mutant{
		{
			Name: "position stored before the object is written", Of: archiving,
			shows: archivingAll,
			Means: "records count as archived once they are about to be",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if c.op != "S3.PutObject" {
					return next(c)
				}
				sendUntil(w, c, next, 2*time.Second, (*answer).ok)
				return success(map[string]any{})
			},
		},
		{
			Name: "object named by arrival", Of: archiving, Means: "two files that arrive in one second have one name",
			shows: archivingAll,
			call: func(_ *world, c *call, next func(*call) *answer) *answer {
				if c.op != "S3.PutObject" {
					return next(c)
				}
				u, err := url.Parse(c.url)
				must(err)
				u.Path = randomPart.ReplaceAllString(u.Path, ".gz")
				other := *c
				other.url = u.String()
				return next(&other)
			},
		},
		{
			Name: "archive gap not noticed", Of: verifying, Means: "what is only in the log is not looked at",
			shows: func(p *Plan) {
				p.Archive = true
				moving(moveObjectLost)(p)
			},
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				if c.op != "DynamoDB.Scan" || !a.ok() {
					return a
				}
				archived, _ := w.bucket.since()
				body := object(a.body)
				kept := []any{}
				for _, each := range list(body["Items"]) {
					e := archivedEvent{stream: scalar(each, "stream"), version: number(scalar(each, "version"))}
					if !archived[e].IsZero() {
						kept = append(kept, each)
					}
				}
				body["Items"], body["Count"] = kept, len(kept)
				return a.with(body)
			},
		},
		{
			Name: "archive gap accepted", Means: "a stream is restored up to its first gap, and what follows is forgotten",
			shows: losingTheLog,
			source: func(source recorded) recorded {
				return func(yield func(eventsourcing.Record, error) bool) {
					there := map[archivedEvent]bool{}
					var all []eventsourcing.Record
					for r, err := range source {
						if err != nil {
							yield(r, err)
							return
						}
						all = append(all, r)
						there[archivedEvent{stream: r.Stream.String(), version: r.Version}] = true
					}
					for _, r := range all {
						e := archivedEvent{stream: r.Stream.String(), version: r.Version}
						for e.version > 0 && there[e] {
							e.version--
						}
						if e.version == 0 && !yield(r, nil) {
							return
						}
					}
				}
			},
		},
	}
}
