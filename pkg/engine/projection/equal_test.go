package projection

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
)

func TestValuesAreComparedAsDynamoDBStoresThem(t *testing.T) {
	t.Parallel()
	n := func(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }
	s := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	list := func(v ...types.AttributeValue) types.AttributeValue { return &types.AttributeValueMemberL{Value: v} }
	ns := func(v ...string) types.AttributeValue { return &types.AttributeValueMemberNS{Value: v} }
	ss := func(v ...string) types.AttributeValue { return &types.AttributeValueMemberSS{Value: v} }
	bs := func(v ...[]byte) types.AttributeValue { return &types.AttributeValueMemberBS{Value: v} }
	b := func(v string) types.AttributeValue { return &types.AttributeValueMemberB{Value: []byte(v)} }
	m := func(v types.AttributeValue) types.AttributeValue {
		return &types.AttributeValueMemberM{Value: Item{"x": v}}
	}
	null, yes := &types.AttributeValueMemberNULL{Value: true}, &types.AttributeValueMemberBOOL{Value: true}
	for _, same := range [][2]types.AttributeValue{
		{n("1"), n("1.0")},
		{n("1e21"), n("1000000000000000000000")},
		{n("x"), n("x")},
		{s("a"), s("a")},
		{null, null},
		{yes, yes},
		{ns("1", "2"), ns("2.0", "1")},
		{ss("a", "b"), ss("b", "a")},
		{bs([]byte("a"), []byte("b")), bs([]byte("b"), []byte("a"))},
		{list(n("1"), s("a")), list(n("1.00"), s("a"))},
		{m(n("1")), m(n("1.0"))},
		{b(""), &types.AttributeValueMemberB{}},
		{nil, nil},
	} {
		assert.True(t, equalValues(same[0], same[1]), "%#v %#v", same[0], same[1])
	}
	for _, other := range [][2]types.AttributeValue{
		{n("1"), n("2")},
		{n("1"), s("1")},
		{n("x"), n("1")},
		{s("a"), s("A")},
		{s(""), null},
		{null, list()},
		{s("a"), nil},
		{nil, s("a")},
		{yes, &types.AttributeValueMemberBOOL{}},
		{ns("1"), ns("1", "2")},
		{ns("1", "2"), ns("1", "3")},
		{ss("a"), ss("b")},
		{ss("1"), ns("1")},
		{list(n("1"), n("2")), list(n("2"), n("1"))},
		{list(n("1")), list()},
		{m(n("1")), m(n("2"))},
		{m(nil), list()},
		{b("a"), b("b")},
		{b("a"), s("a")},
		{bs([]byte("a")), bs([]byte("b"))},
	} {
		assert.False(t, equalValues(other[0], other[1]), "%#v %#v", other[0], other[1])
	}
	assert.False(t, equalItems(Item{"a": n("1")}, Item{"a": n("1"), "b": n("1")}))
	assert.False(t, equalItems(Item{"a": n("1"), "b": n("1")}, Item{"a": n("1")}))
	assert.True(t, equalItems(nil, Item{}))
}
