package dynamodb

import (
	"context"
	"math/bits"
)

type scanInput struct {
	pageOptions
	Segment       *int
	TotalSegments *int
}

func (db *DB) scan(ctx context.Context, in *scanInput) (*pageOutput, error) {
	k := in.constraints()
	k.between(in.TotalSegments, "totalSegments", 1, 1_000_000)
	k.between(in.Segment, "segment", 0, 999_999)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := in.checkSelect(); err != nil {
		return nil, err
	}
	seg, err := in.segment()
	if err != nil {
		return nil, err
	}
	p, err := placeholders(in.ExpressionAttributeNames, in.ExpressionAttributeValues,
		source{"FilterExpression", in.FilterExpression}, source{"ProjectionExpression", in.ProjectionExpression})
	if err != nil {
		return nil, err
	}
	t, err := db.open(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	v, err := in.view(t)
	if err != nil {
		return nil, err
	}
	out, err := in.output(v, p)
	if err != nil {
		return nil, err
	}
	if err := p.CheckUsed(); err != nil {
		return nil, err
	}
	from, err := in.start(v, seg)
	if err != nil {
		return nil, err
	}
	page := in.page()
	v.container.walk(from, func(part place, e *entry) bool { return seg.holds(part) && page.take(e) })
	return in.answer(ctx, v, page, out), nil
}

// segment is one of total equal ranges of the partition keys' hashes.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html#Scan.ParallelScan
type segment struct{ number, total uint64 }

func (in *scanInput) segment() (segment, error) {
	switch {
	case in.Segment == nil && in.TotalSegments == nil:
		return segment{0, 1}, nil
	case in.Segment == nil:
		return segment{}, invalid(
			"The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	case in.TotalSegments == nil:
		return segment{}, invalid(
			"The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
	case *in.Segment >= *in.TotalSegments:
		return segment{}, invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: "+
			"Segment: %d is not less than TotalSegments: %d", *in.Segment, *in.TotalSegments)
	}
	return segment{uint64(*in.Segment), uint64(*in.TotalSegments)}, nil //nolint:gosec // checked to be positive
}

func (s segment) holds(p place) bool {
	number, _ := bits.Mul64(p.hash, s.total)
	return number == s.number
}

func (s segment) first() place {
	hash, rest := bits.Div64(s.number, 0, s.total)
	if rest > 0 {
		hash++
	}
	return place{hash: hash}
}

// cursor is where a walk begins: at a partition or, if after is not nil, after an entry of it.
type cursor struct {
	part  place
	after *position
}

func (in *scanInput) start(v view, seg segment) (cursor, error) {
	if in.ExclusiveStartKey == nil {
		return cursor{part: seg.first()}, nil
	}
	if !v.isKey(in.ExclusiveStartKey) {
		if v.index != nil {
			return cursor{}, invalid("The provided starting key is invalid")
		}
		return cursor{}, invalid("The provided starting key is invalid: The provided key element does not match the schema")
	}
	part, at := v.locate(in.ExclusiveStartKey)
	if !seg.holds(part) {
		return cursor{}, invalid("The provided starting key is invalid: Invalid ExclusiveStartKey. Please use "+
			"ExclusiveStartKey with correct Segment. TotalSegments: %d Segment: %d", seg.total, seg.number)
	}
	return cursor{part, &at}, nil
}

// walk visits entries by place and position until visit returns false. It locks one stripe at a time.
func (c *container) walk(from cursor, visit func(place, *entry) bool) {
	for i := from.part.stripe(); i < len(c.stripes); i++ {
		if !c.stripes[i].walk(from, visit) {
			return
		}
	}
}

func (s *stripe) walk(from cursor, visit func(place, *entry) bool) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	first, _ := s.search(from.part)
	for _, p := range s.partitions[first:] {
		entries := p.entries
		if from.after != nil && p.place == from.part {
			i, found := p.search(*from.after)
			if found {
				i++
			}
			entries = entries[i:]
		}
		for _, e := range entries {
			if !visit(p.place, e) {
				return false
			}
		}
	}
	return true
}
