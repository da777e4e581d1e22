package sqs

import (
	"slices"
	"time"
)

// recent is a map whose entries expire after a fixed span.
type recent[K comparable, V any] struct {
	span    time.Duration
	byKey   map[K]remembered[V]
	order   []K
	kept    bool // whether changed is wanted
	changed []K  // since it was read last
}

type remembered[V any] struct {
	value V
	at    time.Time
}

func newRecent[K comparable, V any](span time.Duration, kept bool) recent[K, V] {
	return recent[K, V]{span: span, byKey: map[K]remembered[V]{}, kept: kept}
}

func (r *recent[K, V]) dropExpired(now time.Time) {
	for len(r.order) > 0 {
		k := r.order[0]
		e, ok := r.byKey[k]
		if ok && now.Sub(e.at) < r.span {
			return
		}
		r.drop()
	}
}

// drop removes the oldest entry.
func (r *recent[K, V]) drop() {
	k := r.order[0]
	delete(r.byKey, k)
	r.order = r.order[1:]
	r.change(k)
}

func (r *recent[K, V]) clear() {
	for len(r.order) > 0 {
		r.drop()
	}
}

func (r *recent[K, V]) change(k K) {
	if r.kept {
		r.changed = append(r.changed, k)
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
	e, ok := r.byKey[k]
	if !ok {
		e.at = now
		r.order = append(r.order, k)
	}
	e.value = v
	r.byKey[k] = e
	r.change(k)
}

// restore adds an entry that was remembered before, in any order. The caller must call sort afterwards.
func (r *recent[K, V]) restore(k K, v V, at time.Time) {
	r.byKey[k] = remembered[V]{v, at}
	r.order = append(r.order, k)
}

func (r *recent[K, V]) sort() {
	slices.SortFunc(r.order, func(a, b K) int { return r.byKey[a].at.Compare(r.byKey[b].at) })
}
