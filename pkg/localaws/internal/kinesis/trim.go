package kinesis

import "time"

// TrimStream removes a stream's records that arrived before t and the shards that were closed before t, as if they had
// expired; a zero t removes all of them.
func (k *Kinesis) TrimStream(name string, t time.Time) error {
	s, err := k.named(name)
	if err != nil {
		return err
	}
	if t.IsZero() {
		t = time.Unix(1<<40, 0) // after every record
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.trim(t)
		sh.mu.Unlock()
		sh.gone = sh.gone || !sh.open() && sh.closedAt.Before(t)
	}
	s.save()
	return nil
}
