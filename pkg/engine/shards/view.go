package shards

import (
	"math"
	"slices"
	"strings"
	"time"
)

// view is one reader's view of the leases: which readers are alive, which shards can be read, and how many of them each
// reader should read. It does no I/O.
type view struct {
	self     string
	duration time.Duration

	leases   map[string]Lease
	observed map[string]observation
	listed   map[string]bool // the stream's shards; nil before the first listing
	alive    map[string]int  // active leases by living reader
	active   int             // leases that are being read or could be
}

// observation says since when, by this reader's clock, a lease has been unchanged. Clocks of readers are never compared.
type observation struct {
	owner   string
	counter int64
	since   time.Time
}

func newView(self string, duration time.Duration) *view {
	return &view{self: self, duration: duration, observed: map[string]observation{}}
}

// update replaces the leases by a new listing.
func (v *view) update(leases []Lease, now time.Time) {
	v.leases = make(map[string]Lease, len(leases))
	for _, l := range leases {
		v.leases[l.Shard] = l
		if s, ok := v.observed[l.Shard]; !ok || s.owner != l.Owner || s.counter != l.Counter {
			v.observed[l.Shard] = observation{owner: l.Owner, counter: l.Counter, since: now}
		}
	}
	for shard := range v.observed {
		if _, ok := v.leases[shard]; !ok {
			delete(v.observed, shard)
		}
	}
	v.active, v.alive = 0, map[string]int{v.self: 0}
	for _, l := range leases {
		alive := l.Owner != "" && !v.stale(l, now)
		if alive && l.State == StateReader {
			v.alive[l.Owner] += 0
		}
		if v.readable(l) {
			v.active++
			if alive {
				v.alive[l.Owner]++
			}
		}
	}
}

// stale reports whether the lease was not written for the lease duration.
func (v *view) stale(l Lease, now time.Time) bool {
	return now.Sub(v.observed[l.Shard].since) >= v.duration
}

// available lists the free leases, those free for longest first: never owned, released, or of an owner that stopped
// renewing. A lease with our name that we do not hold is from before a restart.
func (v *view) available(now time.Time, holds func(shard string) bool) []Lease {
	var free []Lease
	for _, l := range v.leases {
		if v.readable(l) && !holds(l.Shard) && (l.Owner == "" || l.Owner == v.self || v.stale(l, now)) {
			free = append(free, l)
		}
	}
	slices.SortFunc(free, func(a, b Lease) int {
		if d := v.observed[a.Shard].since.Compare(v.observed[b.Shard].since); d != 0 {
			return d
		}
		return strings.Compare(a.Shard, b.Shard)
	})
	return free
}

// mayTake reports whether this reader, with mine leases, should take the free lease l. Each reader may take up to an even
// share; what remains goes to those that have fewest, and a lease that is free for too long to any.
func (v *view) mayTake(l Lease, mine int, now time.Time) bool {
	if mine < v.active/len(v.alive) || (v.stale(l, now) && l.Owner == "") {
		return true
	}
	for owner, n := range v.alive {
		if owner != v.self && n < mine {
			return false
		}
	}
	return mine*len(v.alive) < v.active // below the share rounded up
}

// mayRelease reports whether this reader, with mine leases, should release one: it has most, and at least two more than
// another. Leases are released, not stolen, because the owner knows when no batch is in flight, so nothing is repeated.
func (v *view) mayRelease(mine int) bool {
	fewest := math.MaxInt
	for owner, n := range v.alive {
		if owner == v.self {
			continue
		}
		fewest = min(fewest, n)
		if n > mine || (n == mine && owner < v.self) {
			return false
		}
	}
	return fewest < mine-1
}

// obsolete lists the leases to delete: of done shards that the stream no longer lists, and of dead readers.
func (v *view) obsolete(now time.Time) []Lease {
	var out []Lease
	for _, l := range v.leases {
		if l.State == StateReader && l.Owner != v.self && v.stale(l, now) {
			out = append(out, l)
		}
		if l.State == StateDone && v.listed != nil && !v.listed[l.Shard] {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Lease) int { return strings.Compare(a.Shard, b.Shard) })
	return out
}
