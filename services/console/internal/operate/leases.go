package operate

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// readers are those that share shards, in the order in which an event passes them, and what they read.
func readers() [][2]string {
	return [][2]string{{"streamer", "the log's stream"}, {"broker", "Kinesis"}, {"archive", "Kinesis, for the archive"}}
}

// timersConsumer has a lease for the poller of the timers.
const timersConsumer = topology.Processor

// shard is a shard, or what else a lease is for, as its lease says.
type shard struct {
	shards.Lease

	// Depth is how many generations of parents it has among the leases.
	Depth int
	// Free says that it has records, or may have, and no reader.
	Free   bool
	Owners []owned
}

// Parent of a shard, shortened for people.
func (s shard) ShortParents() string {
	var short []string
	for _, parent := range s.Parents {
		short = append(short, shortened(parent))
	}
	return strings.Join(short, ", ")
}

// Short is the shard's name, shortened for people.
func (s shard) Short() string { return shortened(s.Shard) }

func shortened(name string) string {
	if len(name) <= 24 {
		return name
	}
	return name[:10] + "…" + name[len(name)-10:]
}

// consumer is a reader of shards.
type consumer struct {
	Name, Of string
	Shards   []shard
	Replicas []string // that are alive
	Err      error
}

// allLeases returns the leases by reader; one without any is left out, unless they cannot be read.
func (p *pages) allLeases(ctx context.Context) (all []consumer) {
	for _, reads := range append(readers(), [2]string{timersConsumer, "the timers"}) {
		c := consumer{Name: reads[0], Of: reads[1]}
		var leases []shards.Lease
		leases, c.Err = p.Leases.List(ctx, c.Name)
		depths := depthsOf(leases)
		for _, l := range leases {
			switch l.State {
			case shards.StateReader:
				c.Replicas = append(c.Replicas, l.Owner)
			case shards.StateGap, shards.StateWhole:
			case shards.StateOpen, shards.StateDone:
				c.Shards = append(c.Shards, shard{
					Lease: l, Depth: depths[l.Shard], Free: l.State == shards.StateOpen && l.Owner == "", Owners: p.owners.saw(l, p.Now()),
				})
			}
		}
		slices.Sort(c.Replicas)
		slices.SortFunc(c.Shards, func(a, b shard) int { return cmp.Or(cmp.Compare(a.Depth, b.Depth), strings.Compare(a.Shard, b.Shard)) })
		if len(leases) > 0 || c.Err != nil {
			all = append(all, c)
		}
	}
	return all
}

// depthsOf returns the depth of each shard: 0 for one without parents, or whose parents have no lease any more.
func depthsOf(leases []shards.Lease) map[string]int {
	parents := map[string][]string{}
	for _, l := range leases {
		parents[l.Shard] = l.Parents
	}
	depths := map[string]int{}
	var depth func(name string) int
	depth = func(name string) int {
		if d, known := depths[name]; known {
			return d
		}
		depths[name] = 0 // also ends what is its own parent
		for _, parent := range parents[name] {
			if _, known := parents[parent]; known {
				depths[name] = max(depths[name], depth(parent)+1)
			}
		}
		return depths[name]
	}
	for name := range parents {
		depth(name)
	}
	return depths
}

func (p *pages) leasesInShort(ctx context.Context) summary {
	s := summary{Name: "Leases", At: here + "/leases", About: "who reads which shard"}
	free := 0
	for _, c := range p.allLeases(ctx) {
		if c.Err != nil {
			return s.cannotBeRead(c.Err)
		}
		for _, each := range c.Shards {
			if each.Free {
				free++
			}
		}
	}
	return s.counted(free, "shard has no reader", "shards have no reader", "every open shard has a reader")
}

func (p *pages) leases(w http.ResponseWriter, r *http.Request) {
	p.Show(w, r, http.StatusOK, "leases", "leases", "Leases", struct {
		Readers []consumer
		Since   time.Time
	}{p.allLeases(r.Context()), p.owners.since(p.Now())})
}

// owned is that a shard was seen with an owner; "" is none.
type owned struct {
	Owner string
	Seen  time.Time
}

// owners are those that shards were seen with. A lease has its present owner only, so this is known since the first look.
type owners struct {
	mu    sync.Mutex
	begun time.Time
	of    map[[2]string][]owned // by consumer and shard, the latest first
}

// maxOwners bounds what is remembered of a shard.
const maxOwners = 8

// saw remembers the owner of a lease, and returns those that it had, the latest first.
func (o *owners) saw(l shards.Lease, now time.Time) []owned {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of, o.begun = map[[2]string][]owned{}, now
	}
	key := [2]string{l.Consumer, l.Shard}
	if seen := o.of[key]; len(seen) == 0 || seen[0].Owner != l.Owner {
		seen = slices.Insert(slices.Clone(seen), 0, owned{l.Owner, now})
		o.of[key] = seen[:min(len(seen), maxOwners)]
	}
	return o.of[key]
}

// since is when the first look was.
func (o *owners) since(now time.Time) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begun.IsZero() {
		return now
	}
	return o.begun
}
