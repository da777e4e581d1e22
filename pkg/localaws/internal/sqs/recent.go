package sqs

import "time"

// recent remembers values for one fixed span, so that they are forgotten in the order they came.
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

// remember takes a key that find does not find, or one whose value it replaces without extending its time.
func (r *recent[K, V]) remember(k K, v V, now time.Time) {
	r.dropExpired(now)
	if e, ok := r.byKey[k]; ok {
		r.byKey[k] = remembered[V]{v, e.at}
		return
	}
	r.byKey[k] = remembered[V]{v, now}
	r.order = append(r.order, k)
}
