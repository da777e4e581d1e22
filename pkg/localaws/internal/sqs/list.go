package sqs

// list is a doubly linked list. Its places are embedded in the values, so any value can be removed in constant time.
type list[T any] struct{ front, back *place[T] }

// place is a value's place in one list. A place with only its value set is in no list.
type place[T any] struct {
	value      T
	prev, next *place[T]
	in         bool
}

func (l *list[T]) push(p *place[T]) {
	p.prev, p.next, p.in = l.back, nil, true
	if l.back == nil {
		l.front = p
	} else {
		l.back.next = p
	}
	l.back = p
}

func (l *list[T]) remove(p *place[T]) {
	if p.prev == nil {
		l.front = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.back = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next, p.in = nil, nil, false
}
