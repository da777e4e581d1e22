package dynamodb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
func TestTablesAreCreatedUpdatedAndDeleted(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	out := s.ok("CreateTable", `{"TableName":"users","ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":6},
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
		"SSESpecification":{"Enabled":true,"SSEType":"KMS"},"DeletionProtectionEnabled":true,"TableClass":"STANDARD",
		"Tags":[{"Key":"team","Value":"iam"}]}`)
	assert.Equal(t, "CREATING", as[object](out["TableDescription"])["TableStatus"])
	d := as[object](s.ok("DescribeTable", `{"TableName":"arn:aws:dynamodb:eu-west-1:123456789012:table/users"}`)["Table"])
	assert.Equal(t, "ACTIVE", d["TableStatus"])
	assert.Equal(t, "arn:aws:dynamodb:eu-west-1:123456789012:table/users", d["TableArn"])
	assert.InDelta(t, 1778534493.291, d["CreationDateTime"], 0.0001)
	assert.Equal(t, object{"ReadCapacityUnits": 5.0, "WriteCapacityUnits": 6.0, "NumberOfDecreasesToday": 0.0}, d["ProvisionedThroughput"])
	assert.Equal(t, true, d["DeletionProtectionEnabled"])
	assert.NotContains(t, d, "BillingModeSummary")
	s.putUser("a", "")
	d = as[object](s.ok("DescribeTable", `{"TableName":"users"}`)["Table"])
	assert.EqualValues(t, 1, d["ItemCount"])
	assert.EqualValues(t, 3, d["TableSizeBytes"])

	s.fails("DeleteTable", `{"TableName":"users"}`, "ValidationException",
		"Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	s.ok("UpdateTable", `{"TableName":"users","DeletionProtectionEnabled":false,"BillingMode":"PAY_PER_REQUEST"}`)
	d = as[object](s.ok("DescribeTable", `{"TableName":"users"}`)["Table"])
	assert.Equal(t, "PAY_PER_REQUEST", as[object](d["BillingModeSummary"])["BillingMode"])

	arn := `"ResourceArn":"arn:aws:dynamodb:eu-west-1:123456789012:table/users"`
	s.ok("TagResource", `{`+arn+`,"Tags":[{"Key":"stage","Value":"dev"}]}`)
	s.ok("UntagResource", `{`+arn+`,"TagKeys":["team"]}`)
	assert.Equal(t, []any{object{"Key": "stage", "Value": "dev"}}, s.ok("ListTagsOfResource", `{`+arn+`}`)["Tags"])

	s.ok("DeleteTable", `{"TableName":"users"}`)
	s.fails("PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}}}`, "ResourceNotFoundException", "Requested resource not found")
	s.ok("CreateTable", stringTable)
	assert.NotContains(t, s.ok("GetItem", `{"TableName":"users","Key":{"id":{"S":"a"}}}`), "Item", "a new table is empty")
}

func TestListTablesHasPages(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	assert.Equal(t, object{"TableNames": []any{"events", "users"}}, s.ok("ListTables", `{}`))
	assert.Equal(t, object{"TableNames": []any{"events"}, "LastEvaluatedTableName": "events"}, s.ok("ListTables", `{"Limit":1}`))
	assert.Equal(t, object{"TableNames": []any{"users"}}, s.ok("ListTables", `{"Limit":1,"ExclusiveStartTableName":"events"}`))
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.OnlineOps.html
func TestIndexesCreatedLaterAreFilled(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	s.putUser("a", `,"city":{"S":"Rome"}`)
	s.putUser("b", `,"city":{"N":"1"}`) // cannot be indexed
	s.putUser("c", "")
	s.ok("UpdateTable", `{"TableName":"users","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},
		{"AttributeName":"city","AttributeType":"S"}],"GlobalSecondaryIndexUpdates":[{"Create":{"IndexName":"by-city",
		"KeySchema":[{"AttributeName":"city","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}}]}`)
	scan := `{"TableName":"users","IndexName":"by-city"}`
	assert.EqualValues(t, 1, s.ok("Scan", scan)["Count"])
	s.putUser("d", `,"city":{"S":"Oslo"}`)
	assert.EqualValues(t, 2, s.ok("Scan", scan)["Count"])
	s.fails("UpdateTable", `{"TableName":"users","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"none"}}]}`,
		"ResourceNotFoundException", "Requested resource not found")
	s.ok("UpdateTable", `{"TableName":"users","GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"by-city"}}]}`)
	s.fails("Scan", scan, "ValidationException", "The table does not have the specified index: by-city")
	d := as[object](s.ok("DescribeTable", `{"TableName":"users"}`)["Table"])
	assert.Len(t, d["AttributeDefinitions"], 1)
	s.putUser("e", `,"city":{"N":"1"}`)
}

// Sources: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html and
// https://github.com/nubo-db/dynoxide/issues/144
func TestNewIndexesNeedTheDefinitionsOfTheirOwnKeysOnly(t *testing.T) {
	t.Parallel()
	const wrong = "One or more parameter values were invalid: "
	s := newTables(t)
	update := func(definitions, key string) string {
		return `{"TableName":"users","AttributeDefinitions":[` + definitions + `],"GlobalSecondaryIndexUpdates":[{"Create":{
			"IndexName":"by-` + key + `","KeySchema":[{"AttributeName":"` + key + `","KeyType":"HASH"}],
			"Projection":{"ProjectionType":"ALL"}}}]}`
	}
	city := `{"AttributeName":"city","AttributeType":"S"}`
	s.ok("UpdateTable", update(city, "city"))
	s.putUser("a", `,"city":{"S":"Rome"}`)
	assert.EqualValues(t, 1, s.ok("Scan", `{"TableName":"users","IndexName":"by-city"}`)["Count"])

	s.fails("UpdateTable", update(city, "id"), "ValidationException",
		wrong+"Some index key attributes are not defined in AttributeDefinitions. Keys: [id], AttributeDefinitions: [city]")
	s.fails("UpdateTable", update(`{"AttributeName":"x","AttributeType":"S"},{"AttributeName":"y","AttributeType":"S"}`, "x"),
		"ValidationException", wrong+"Some AttributeDefinitions are not used. AttributeDefinitions: [x, y], keys used: [city, id, x]")
	s.fails("UpdateTable", update(`{"AttributeName":"id","AttributeType":"N"}`, "id"), "ValidationException",
		wrong+"Attribute id is a key of type S already and cannot become one of type N")
	d := as[object](s.ok("DescribeTable", `{"TableName":"users"}`)["Table"])
	assert.Len(t, d["AttributeDefinitions"], 2, "a refused update changes nothing")
	assert.Len(t, d["GlobalSecondaryIndexes"], 1)
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TagResource.html
func TestTagsAreAddedAllOrNone(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	arn := `"ResourceArn":"arn:aws:dynamodb:eu-west-1:123456789012:table/users"`
	tags := func(n int, more string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `{"Key":"k%d","Value":""},`, i)
		}
		return `{` + arn + `,"Tags":[` + b.String() + more + `]}`
	}
	last := `{"Key":"last","Value":"v"}`
	s.fails("TagResource", tags(50, last), "ValidationException",
		"One or more parameter values were invalid: Too many tags: a table has at most 50")
	s.fails("TagResource", tags(1, `{"Key":"none"}`), "ValidationException",
		"1 validation error detected: Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not be null")
	assert.Empty(t, s.ok("ListTagsOfResource", `{`+arn+`}`)["Tags"], "a refused request adds none of its tags")
	s.ok("TagResource", tags(49, last))
	assert.Len(t, s.ok("ListTagsOfResource", `{`+arn+`}`)["Tags"], 50)
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PointInTimeRecoverySpecification.html
func TestPointInTimeRecoveryIsDescribedAsItWasSet(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	recovery := func(operation, more string) object {
		answer := as[object](s.ok(operation, `{"TableName":"users"`+more+`}`)["ContinuousBackupsDescription"])
		assert.Equal(t, "ENABLED", answer["ContinuousBackupsStatus"])
		return as[object](answer["PointInTimeRecoveryDescription"])
	}
	set := func(to string) string { return `,"PointInTimeRecoverySpecification":{` + to + `}` }
	assert.Equal(t, object{"PointInTimeRecoveryStatus": "DISABLED"}, recovery("DescribeContinuousBackups", ""))
	for to, days := range map[string]float64{
		`"PointInTimeRecoveryEnabled":true`: 35, `"PointInTimeRecoveryEnabled":true,"RecoveryPeriodInDays":7`: 7,
	} {
		is := recovery("UpdateContinuousBackups", set(to))
		assert.Equal(t, "ENABLED", is["PointInTimeRecoveryStatus"])
		assert.InDelta(t, days, is["RecoveryPeriodInDays"], 0)
		assert.Equal(t, is, recovery("DescribeContinuousBackups", ""))
	}
	recovery("UpdateContinuousBackups", set(`"PointInTimeRecoveryEnabled":false`))
	assert.Equal(t, object{"PointInTimeRecoveryStatus": "DISABLED"}, recovery("DescribeContinuousBackups", ""))
	s.fails("UpdateContinuousBackups", `{"TableName":"users"`+set(`"PointInTimeRecoveryEnabled":true,"RecoveryPeriodInDays":36`)+`}`,
		"ValidationException", "1 validation error detected: Value '36' at 'pointInTimeRecoverySpecification.recoveryPeriodInDays' "+
			"failed to satisfy constraint: Member must have value less than or equal to 35")
	s.fails("UpdateContinuousBackups", `{"TableName":"none"`+set(`"PointInTimeRecoveryEnabled":true`)+`}`, "TableNotFoundException",
		"Table not found: none")
}

func TestTimeToLiveIsEnabledAndDisabled(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	set := func(attribute, enabled string) string {
		return `{"TableName":"users","TimeToLiveSpecification":{"AttributeName":"` + attribute + `","Enabled":` + enabled + `}}`
	}
	s.ok("UpdateTimeToLive", set("ttl", "true"))
	assert.Equal(t, object{"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"},
		s.ok("DescribeTimeToLive", `{"TableName":"users"}`)["TimeToLiveDescription"])
	s.fails("UpdateTimeToLive", set("ttl", "true"), "ValidationException", "TimeToLive is already enabled")
	s.fails("UpdateTimeToLive", set("other", "true"), "ValidationException",
		"TimeToLive is active on a different AttributeName: current AttributeName is ttl")
	s.putUser("a", `,"ttl":{"N":"1778534500.5"}`)
	s.putUser("text", `,"ttl":{"S":"1778534500"}`)
	s.putUser("least", `,"ttl":{"N":"-9223372036854775808"}`)
	s.ok("UpdateTimeToLive", set("ttl", "false"))
	s.clock.advance(2 * time.Hour)
	assert.EqualValues(t, 3, s.ok("Scan", `{"TableName":"users"}`)["Count"], "nothing expires while TTL is disabled")
	s.ok("UpdateTimeToLive", set("ttl", "true"))
	assert.EqualValues(t, 2, s.ok("Scan", `{"TableName":"users"}`)["Count"], "only numbers of the last five years are times")
}

// An item in an ongoing transaction expires when the transaction has ended.
func TestExpiryWaitsForTransactions(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	s.ok("UpdateTimeToLive", `{"TableName":"users","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":true}}`)
	s.putUser("a", `,"ttl":{"N":"1778534500"}`)
	release := s.held("a")
	s.clock.advance(2 * time.Hour)
	key := `{"TableName":"users","Key":{"id":{"S":"a"}}}`
	require.Contains(t, s.ok("GetItem", key), "Item")
	release()
	require.NotContains(t, s.ok("GetItem", key), "Item")
}
