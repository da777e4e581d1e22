package shards

// readable reports whether the shard is open and all its parents are done. A parent without a lease counts as done only if
// the stream no longer lists it: parents get their leases before their children, so it was trimmed before it was read,
// or its lease was deleted after it was done.
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
