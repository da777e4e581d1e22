package sqs

import "time"

// recent is a map whose entries expire after a fixed span.
type recent[K comparable, V any] struct {
	span  time.Duration
	byKey map[K]remembered[V]
	order []K
}

type remembered[V any] struct {
	value V
	at    time.Time
}

func newRecent[K comparable, V any](span time.Duration) recent[K, V] {
	return recent[K, V]{span: span, byKey: map[K]remembered[V]{}}
}

func (r *recent[K, V]) dropExpired(now time.Time) {
	for len(r.order) > 0 {
		k := r.order[0]
		e, ok := r.byKey[k]
		if ok && now.Sub(e.at) < r.span {
			return
		}
		delete(r.byKey, k)
		r.order = r.order[1:]
	}
}

func (r *recent[K, V]) find(k K, now time.Time) (V, bool) {
	r.dropExpired(now)
	e, ok := r.byKey[k]
	return e.value, ok
}

// remember adds an entry, or replaces the value of an existing one without extending its life.
func (r *recent[K, V]) remember(k K, v V, now time.Time) {
	r.dropExpired(now)
	if e, ok := r.byKey[k]; ok {
		r.byKey[k] = remembered[V]{v, e.at}
		return
	}
	r.byKey[k] = remembered[V]{v, now}
	r.order = append(r.order, k)
}
