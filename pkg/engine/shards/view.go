package shards

import (
	"math"
	"slices"
	"strings"
	"time"
)

// view is what one reader makes of the leases it saw: who lives, which shards may be read, and who should read how
// many. It does no I/O.
type view struct {
	self     string
	duration time.Duration

	leases map[string]Lease
	seen   map[string]sighting
	listed map[string]bool // the stream's shards; nil before the first listing
	alive  map[string]int  // active leases by living reader
	active int             // leases that are being read or could be
}

// sighting is since when, by the own clock, a lease looks as it does. Other readers' clocks are never compared.
type sighting struct {
	owner   string
	counter int64
	since   time.Time
}

func newView(self string, duration time.Duration) *view {
	return &view{self: self, duration: duration, seen: map[string]sighting{}}
}

// update takes in a listing of all leases.
func (v *view) update(leases []Lease, now time.Time) {
	v.leases = make(map[string]Lease, len(leases))
	for _, l := range leases {
		v.leases[l.Shard] = l
		if s, ok := v.seen[l.Shard]; !ok || s.owner != l.Owner || s.counter != l.Counter {
			v.seen[l.Shard] = sighting{owner: l.Owner, counter: l.Counter, since: now}
		}
	}
	for shard := range v.seen {
		if _, ok := v.leases[shard]; !ok {
			delete(v.seen, shard)
		}
	}
	v.active, v.alive = 0, map[string]int{v.self: 0}
	for _, l := range leases {
		lives := l.Owner != "" && !v.stale(l, now)
		if lives && l.State == StateReader {
			v.alive[l.Owner] += 0
		}
		if v.readable(l) {
			v.active++
			if lives {
				v.alive[l.Owner]++
			}
		}
	}
}

// stale reports that nobody wrote the lease for the whole lease duration.
func (v *view) stale(l Lease, now time.Time) bool {
	return now.Sub(v.seen[l.Shard].since) >= v.duration
}

// readable reports that the shard is not done, but both its parents are. A parent without a lease counts as done only
// if the stream no longer knows it: parents get their leases before their children, so it was trimmed away unread, or
// done and then forgotten.
func (v *view) readable(l Lease) bool {
	if l.State != StateOpen {
		return false
	}
	for _, p := range l.Parents {
		parent, ok := v.leases[p]
		if ok && parent.State != StateDone {
			return false
		}
		if !ok && (v.listed == nil || v.listed[p]) {
			return false
		}
	}
	return true
}

// available lists the leases that nobody holds, those free for longest first: never owned, released, or of an owner
// that stopped renewing. A lease of the own name that is not in hand is from before a restart.
func (v *view) available(now time.Time, inHand func(shard string) bool) []Lease {
	var free []Lease
	for _, l := range v.leases {
		if v.readable(l) && !inHand(l.Shard) && (l.Owner == "" || l.Owner == v.self || v.stale(l, now)) {
			free = append(free, l)
		}
	}
	slices.SortFunc(free, func(a, b Lease) int {
		if d := v.seen[a.Shard].since.Compare(v.seen[b.Shard].since); d != 0 {
			return d
		}
		return strings.Compare(a.Shard, b.Shard)
	})
	return free
}

// mayTake reports whether a reader with mine leases should take one more that is free. Up to the even share all may;
// the rest goes to those who have least, or to anybody if it lies about for too long.
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

// mayGive reports whether this reader, with mine leases, is the one to give a lease away: it has most, by at least two more
// than somebody else. Giving, not stealing, makes the balance: the owner knows when no batch is in hand, so nothing
// is repeated.
func (v *view) mayGive(mine int) bool {
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

// obsolete lists what may be deleted: leases that are done, of shards that the stream forgot, and signs of life of the dead.
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
