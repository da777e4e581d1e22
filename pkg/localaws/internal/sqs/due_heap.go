package sqs

import "container/heap"

// dueHeap orders the invisible messages by the time when they become visible.
type dueHeap []*message

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if h[i].dueAt.Equal(h[j].dueAt) {
		return h[i].number < h[j].number
	}
	return h[i].dueAt.Before(h[j].dueAt)
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].dueIndex, h[j].dueIndex = i, j
}

// Push implements heap.Interface.
func (h *dueHeap) Push(x any) {
	m := x.(*message) //nolint:errcheck,forcetypeassert // add pushes nothing else
	m.dueIndex = len(*h)
	*h = append(*h, m)
}

// Pop implements heap.Interface.
func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return m
}

func (h *dueHeap) add(m *message)    { heap.Push(h, m) }
func (h *dueHeap) remove(m *message) { heap.Remove(h, m.dueIndex) }
func (h *dueHeap) order()            { heap.Init(h) }
