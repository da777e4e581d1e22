package shards

import "time"

// pending is what was read of a shard and is not done, and what was done behind it.
type pending struct {
	marks []mark // in the order of the shard; the first is not done
	first int    // the number of the first; marks are numbered without gaps
}

// mark is a record or the end of a page. When it and all before it are done, they are all up to a position.
type mark struct {
	at        Position  // empty: an end that moves no position
	arrivedAt time.Time // of a record
	readAt    time.Time // of an end: all that had arrived in the shard by then is before it
	done      bool
}

// add appends a page read at a time and returns the number of its first record.
func add[T any](p *pending, page Page[T], readAt time.Time) (first int) {
	first = p.first + len(p.marks)
	for _, r := range page.Records {
		p.marks = append(p.marks, mark{at: r.Sequence, arrivedAt: r.ArrivedAt})
	}
	end := mark{at: page.last(), readAt: readAt, done: true}
	if n := len(p.marks); len(page.Records) == 0 && n > 0 && !p.marks[n-1].readAt.IsZero() { // polls while a record waits pile up no ends
		if end.at == "" {
			end.at = p.marks[n-1].at
		}
		p.marks[n-1] = end
	} else {
		p.marks = append(p.marks, end)
	}
	return first
}

// done says that a record is done.
func (p *pending) done(number int) { p.marks[number-p.first].done = true }

// pass forgets what is done before everything that is not, and returns the position and the time up to which that is all;
// zero if there is no new one.
func (p *pending) pass() (at Position, readAt time.Time) {
	n := 0
	for ; n < len(p.marks) && p.marks[n].done; n++ {
		if p.marks[n].at != "" {
			at = p.marks[n].at
		}
		if !p.marks[n].readAt.IsZero() {
			readAt = p.marks[n].readAt
		}
	}
	clear(p.marks[:n])
	p.marks, p.first = p.marks[n:], p.first+n
	return at, readAt
}

// oldest returns when the oldest record that is not done arrived; zero if there is none.
func (p *pending) oldest() time.Time {
	if len(p.marks) == 0 {
		return time.Time{}
	}
	return p.marks[0].arrivedAt
}
