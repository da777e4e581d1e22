package shards

import "time"

// pace computes the pauses between the reads of one shard. It reads an idle shard more and more rarely, and a shard of which
// reads are refused, because others read it too, as often as they leave room for: a refusal lengthens the pauses by half, and
// each read that is answered shortens them by a 128th.
type pace struct {
	shortest, longest time.Duration
	busy              time.Duration // the pause while records come; above shortest after refusals
	pause             time.Duration // the last one
}

func newPace(shortest, longest time.Duration) *pace {
	return &pace{shortest: shortest, longest: longest, busy: shortest, pause: shortest}
}

// after returns the pause after a page: of a shard that has more none, unless reads were refused lately.
func (p *pace) after(records int, more bool) time.Duration {
	p.busy = max(p.shortest, p.busy-p.busy/128)
	if records == 0 {
		p.pause = max(p.busy, min(p.pause+p.pause/4, p.longest))
	} else {
		p.pause = p.busy
	}
	if more && p.busy == p.shortest {
		return 0
	}
	return p.pause
}

// refused lengthens the pauses and returns the one before the read is tried again.
func (p *pace) refused() time.Duration {
	p.busy = min(p.busy+p.busy/2, p.longest)
	p.pause = max(p.pause, p.busy)
	return p.pause
}
