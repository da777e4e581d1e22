package dynamodb

import (
	"context"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/expr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/units"
)

// A Query or Scan reads at most 1 MB, measured before the filter.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
const maxPage = 1 << 20

// pageOptions are the members that Query and Scan share.
type pageOptions struct {
	TableName                 string
	IndexName                 *string
	Select                    string
	Limit                     *int
	ConsistentRead            bool
	ExclusiveStartKey         attr.Item
	ReturnConsumedCapacity    capacityChoice
	ProjectionExpression      *string
	FilterExpression          *string
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues expr.Values
}

type pageOutput struct {
	Items            []attr.Item       `json:",omitzero"` // absent when only counting
	Count            int               // after the filter
	ScannedCount     int               // before it
	LastEvaluatedKey attr.Item         `json:",omitempty"`
	ConsumedCapacity *consumedCapacity `json:",omitempty"`
}

func (o *pageOptions) constraints() *constraints {
	k := &constraints{}
	k.table(o.TableName)
	if o.IndexName != nil {
		k.name(*o.IndexName, "indexName")
	}
	k.oneOf(o.Select, "select", "SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")
	k.between(o.Limit, "limit", 1, 0)
	o.ReturnConsumedCapacity.check(k)
	return k
}

// checkSelect refuses a Select that does not fit the other members.
func (o *pageOptions) checkSelect() error {
	switch o.Select {
	case "ALL_PROJECTED_ATTRIBUTES":
		if o.IndexName == nil {
			return invalidParameter("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
		}
	case "SPECIFIC_ATTRIBUTES":
		if o.ProjectionExpression == nil {
			return invalidParameter("Must specify the AttributesToGet when choosing to get SPECIFIC_ATTRIBUTES")
		}
		return nil
	case "":
		return nil
	}
	if o.ProjectionExpression == nil {
		return nil
	}
	if o.Select == "COUNT" {
		return invalidParameter("Cannot specify the ProjectionExpression when choosing to get only the Count")
	}
	return invalidParameter("Cannot specify the ProjectionExpression when choosing to get %s", o.Select)
}

// view is the source of a page: a table or one of its indexes.
type view struct {
	table     *table
	index     *index // nil for the table itself
	container *container
	keys      keySchema
}

func (o *pageOptions) view(t *table) (view, error) {
	if o.IndexName == nil {
		return view{t, nil, &t.container, t.keys}, nil
	}
	ix := t.index(*o.IndexName)
	switch {
	case ix == nil:
		return view{}, invalid("The table does not have the specified index: %s", *o.IndexName)
	case !ix.local && o.ConsistentRead:
		return view{}, invalid("Consistent reads are not supported on global secondary indexes")
	case !ix.local && o.Select == "ALL_ATTRIBUTES" && !ix.projectsAll():
		return view{}, invalidParameter("Select type ALL_ATTRIBUTES is not supported for global secondary index %s "+
			"because its projection type is not ALL", ix.name)
	}
	return view{t, ix, &ix.container, ix.keys}, nil
}

// keyNames returns the attributes of a LastEvaluatedKey.
func (v view) keyNames() []string {
	names := v.table.keys.names()
	for _, name := range v.keys.names() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (v view) lastKey(e *entry) attr.Item {
	key := attr.Item{}
	for _, name := range v.keyNames() {
		key[name] = e.full[name]
	}
	return key
}

// isKey reports whether start is a valid LastEvaluatedKey of the view.
func (v view) isKey(start attr.Item) bool {
	names := v.keyNames()
	if len(start) != len(names) {
		return false
	}
	for _, name := range names {
		if value, ok := start[name]; !ok || value.TypeName() != v.table.defs[name] {
			return false
		}
	}
	return true
}

func (v view) locate(key attr.Item) (place, position) {
	id := v.keys.bytes(key)
	at := position{sort: id.sort}
	if v.index != nil {
		at.owner = v.table.keys.bytes(key)
	}
	return placeOf(id.hash), at
}

// page collects entries until it is full. A full page may still be the last one.
type page struct {
	limit   int // 0 means no limit
	entries []*entry
	bytes   int
	full    bool
}

func (o *pageOptions) page() *page {
	if o.Limit == nil {
		return &page{}
	}
	return &page{limit: *o.Limit}
}

// take adds an entry, if it fits, and reports whether there is room for more.
func (p *page) take(e *entry) bool {
	if p.bytes+e.size > maxPage {
		p.full = true
		return false
	}
	p.entries = append(p.entries, e)
	p.bytes += e.size
	p.full = len(p.entries) == p.limit
	return !p.full
}

// output says how a page's entries become a response.
type output struct {
	filter     *expr.Condition  // nil matches all
	projection *expr.Projection // nil keeps all
	fetch      bool             // whole items, from the table, for what a local index does not project
	countOnly  bool
}

func (o *pageOptions) output(v view, p *expr.Placeholders) (output, error) {
	out := output{countOnly: o.Select == "COUNT", fetch: o.Select == "ALL_ATTRIBUTES" && v.index != nil && !v.index.projectsAll()}
	var named []string
	var err error
	if o.FilterExpression != nil {
		if out.filter, err = expr.ParseCondition("FilterExpression", *o.FilterExpression, p); err != nil {
			return out, err
		}
		named = append(named, out.filter.TopLevel()...)
	}
	if o.ProjectionExpression != nil {
		if out.projection, err = expr.ParseProjection(*o.ProjectionExpression, p); err != nil {
			return out, err
		}
		named = append(named, out.projection.TopLevel()...)
	}
	if v.index == nil {
		return out, nil
	}
	beyond := slices.DeleteFunc(named, v.index.projects)
	if len(beyond) == 0 {
		return out, nil
	}
	if !v.index.local {
		slices.Sort(beyond)
		return out, invalidParameter("Global secondary index %s does not project %s", v.index.name, bracketed(slices.Compact(beyond)))
	}
	out.fetch = true
	return out, nil
}

// answer filters and projects a page outside of all locks: entries never change.
func (o *pageOptions) answer(ctx context.Context, v view, p *page, out output) *pageOutput {
	answer := &pageOutput{ScannedCount: len(p.entries)}
	if !out.countOnly {
		answer.Items = make([]attr.Item, 0, len(p.entries))
	}
	spent := consumption{}
	if v.index == nil {
		spent.table = readUnits(p.bytes, o.ConsistentRead)
	} else {
		spent.index(v.index, readUnits(p.bytes, o.ConsistentRead))
	}
	for _, e := range p.entries {
		item := e.item
		if out.fetch {
			item = e.full
			spent.table += readUnits(item.Size(), o.ConsistentRead)
		}
		if !out.filter.Matches(item) {
			continue
		}
		answer.Count++
		if !out.countOnly {
			answer.Items = append(answer.Items, project(item, out.projection))
		}
	}
	if n := len(p.entries); n > 0 && p.full {
		answer.LastEvaluatedKey = v.lastKey(p.entries[n-1])
	}
	units.Read(ctx, spent.total())
	answer.ConsumedCapacity = spent.report(v.table.name, o.ReturnConsumedCapacity)
	return answer
}

func bracketed(names []string) string { return "[" + strings.Join(names, ", ") + "]" }
