package dynamodb

import (
	"testing"
)

// Each row has AWS's code and text for a bad request. Where no page quotes the text, the rule's page is given and the text is
// as observed by users.
func TestBadRequestsAreRefusedInAWSsWords(t *testing.T) {
	t.Parallel()
	const (
		invalid  = "ValidationException"
		missing  = "ResourceNotFoundException"
		wrong    = "One or more parameter values were invalid: "
		mismatch = "The provided key element does not match the schema"
	)
	const (
		errorsPage = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html"
		limitsPage = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"
		putPage    = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html"
		updatePage = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html"
		queryPage  = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html"
		scanPage   = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Scan.html"
		createPage = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html"
		batchPage  = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"
		getPage    = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html"
		txPage     = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html"
		indexPage  = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html"
		ttlPage    = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html"
	)
	s := newTables(t)
	s.putUser("a", "")
	many := func(n int, one string) string {
		out := one
		for range n - 1 {
			out += "," + one
		}
		return out
	}
	for _, c := range []struct{ source, operation, body, code, message string }{
		{errorsPage, "GetItem", `{"TableName":"nowhere","Key":{"id":{"S":"a"}}}`, missing, "Requested resource not found"},
		{errorsPage, "DescribeTable", `{"TableName":"nowhere"}`, missing, "Requested resource not found: Table: nowhere not found"},
		{createPage, "CreateTable", stringTable, "ResourceInUseException", "Table already exists: users"},

		{putPage, "PutItem", `{"TableName":"users","Item":{"name":{"S":"a"}}}`, invalid, wrong + "Missing the key id in the item"},
		{putPage, "PutItem", `{"TableName":"users","Item":{"id":{"N":"1"}}}`, invalid, wrong + "Type mismatch for key id expected: S actual: N"},
		{putPage, "PutItem", `{"TableName":"users","Item":{"id":{"S":""}}}`, invalid, "One or more parameter values are not valid. " +
			"The AttributeValue for a key attribute cannot contain an empty string value. Key: id"},
		{
			putPage, "PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}},"ReturnValues":"ALL_NEW"}`, invalid,
			"ReturnValues can only be ALL_OLD or NONE",
		},
		{putPage, "PutItem", `{"TableName":"users"}`, invalid, "1 validation error detected: Value null at 'item' failed to satisfy " +
			"constraint: Member must not be null"},
		{putPage, "PutItem", `{"TableName":"u","Item":{},"ReturnValues":"SOME"}`, invalid, "2 validation errors detected: " +
			"Value 'u' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3; " +
			"Value 'SOME' at 'returnValues' failed to satisfy constraint: " +
			"Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]"},
		{
			putPage, "PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}},"ExpressionAttributeNames":{"#a":"b"}}`, invalid,
			"ExpressionAttributeNames can only be specified when using expressions",
		},
		{
			putPage, "PutItem", `{"TableName":"users","Item":{"id":{"S":"a"}},"ExpressionAttributeValues":{":a":{"S":"b"}}}`, invalid,
			"ExpressionAttributeValues can only be specified when using expressions: ConditionExpression is null",
		},
		{
			limitsPage, "PutItem", `{"TableName":"users","Item":{"id":{"S":"` + text(2049) + `"}}}`, invalid,
			wrong + "Size of hashkey has exceeded the maximum size limit of2048 bytes",
		},
		{
			limitsPage, "PutItem", `{"TableName":"users","Item":{"id":{"S":"a"},"d":{"S":"` + text(400<<10-3) + `"}}}`, invalid,
			"Item size has exceeded the maximum allowed size",
		},
		{
			limitsPage, "PutItem", `{"TableName":"events","Item":{"stream":{"S":"a"},"version":{"N":"1"},"at":{"S":"` + text(1025) + `"}}}`, invalid,
			wrong + "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
		},
		{
			indexPage, "PutItem", `{"TableName":"events","Item":{"stream":{"S":"a"},"version":{"N":"1"},"kind":{"N":"1"}}}`, invalid,
			wrong + "Type mismatch for Index Key kind Expected: S Actual: N IndexName: by-kind",
		},
		{
			indexPage, "PutItem", `{"TableName":"events","Item":{"stream":{"S":"a"},"version":{"N":"1"},"kind":{"S":""}}}`, invalid,
			"One or more parameter values are not valid. A value specified for a secondary index key is not supported. " +
				"The AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-kind, IndexKey: kind",
		},

		{errorsPage, "GetItem", `{"TableName":"users","Key":{"name":{"S":"a"}}}`, invalid, mismatch},
		{errorsPage, "GetItem", `{"TableName":"users","Key":{"id":{"N":"1"}}}`, invalid, mismatch},
		{errorsPage, "GetItem", `{"TableName":"events","Key":{"stream":{"S":"a"}}}`, invalid, mismatch},
		{errorsPage, "DeleteItem", `{"TableName":"users","Key":{"id":{"S":"a"},"x":{"S":"a"}}}`, invalid, mismatch},

		{updatePage, "UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"UpdateExpression":"SET id = :a",` +
			`"ExpressionAttributeValues":{":a":{"S":"b"}}}`, invalid, wrong + "Cannot update attribute id. This attribute is part of the key"},
		{
			limitsPage, "UpdateItem", `{"TableName":"users","Key":{"id":{"S":"a"}},"UpdateExpression":"SET d = :a",` +
				`"ExpressionAttributeValues":{":a":{"S":"` + text(400<<10-3) + `"}}}`,
			invalid, "Item size to update has exceeded the maximum allowed size",
		},
		{
			txPage, "UpdateItem", `{"TableName":"events","Key":{"stream":{"S":"a"},"version":{"N":"1"}},"UpdateExpression":"SET kind = :a",` +
				`"ExpressionAttributeValues":{":a":{"BOOL":true}}}`, invalid,
			"The update expression attempted to update the secondary index key to unsupported type",
		},

		{
			queryPage, "Query", `{"TableName":"users"}`, invalid,
			"Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
		},
		{
			queryPage, "Query", `{"TableName":"users","KeyConditionExpression":"id = :a","ExpressionAttributeValues":{":a":{"N":"1"}}}`, invalid,
			wrong + "Condition parameter type does not match schema type",
		},
		{queryPage, "Query", `{"TableName":"users","IndexName":"none","KeyConditionExpression":"id = :a",` +
			`"ExpressionAttributeValues":{":a":{"S":"1"}}}`, invalid, "The table does not have the specified index: none"},
		{
			queryPage, "Query", `{"TableName":"users","KeyConditionExpression":"id = :a","FilterExpression":"id = :a",` +
				`"ExpressionAttributeValues":{":a":{"S":"1"}}}`, invalid,
			"Filter Expression can only contain non-primary key attributes: Primary key attribute: id",
		},
		{
			queryPage, "Query", `{"TableName":"users","Limit":0,"KeyConditionExpression":"id = :a","ExpressionAttributeValues":{":a":{"S":"1"}}}`,
			invalid, "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: " +
				"Member must have value greater than or equal to 1",
		},
		{
			queryPage, "Query", `{"TableName":"users","KeyConditionExpression":"id = :a","ExpressionAttributeValues":{":a":{"S":"1"}},` +
				`"ExclusiveStartKey":{"id":{"S":"2"}}}`, invalid,
			"The provided starting key is outside query boundaries based on provided conditions",
		},
		{
			queryPage, "Query", `{"TableName":"events","KeyConditionExpression":"#s = :a AND version > :v",` +
				`"ExpressionAttributeNames":{"#s":"stream"},"ExpressionAttributeValues":{":a":{"S":"1"},":v":{"N":"5"}},` +
				`"ExclusiveStartKey":{"stream":{"S":"1"},"version":{"N":"5"}}}`,
			invalid,
			"The provided starting key does not match the range key predicate",
		},
		{queryPage, "Query", `{"TableName":"events","IndexName":"by-kind","KeyConditionExpression":"kind = :a",` +
			`"ExpressionAttributeValues":{":a":{"S":"1"}},"ExclusiveStartKey":{"kind":{"S":"1"}}}`, invalid, "The provided starting key is invalid"},
		{queryPage, "Query", `{"TableName":"events","IndexName":"by-kind","ConsistentRead":true,"KeyConditionExpression":"kind = :a",` +
			`"ExpressionAttributeValues":{":a":{"S":"1"}}}`, invalid, "Consistent reads are not supported on global secondary indexes"},
		{queryPage, "Query", `{"TableName":"events","IndexName":"by-kind","Select":"ALL_ATTRIBUTES","KeyConditionExpression":"kind = :a",` +
			`"ExpressionAttributeValues":{":a":{"S":"1"}}}`, invalid, wrong + "Select type ALL_ATTRIBUTES is not supported for global " +
			"secondary index by-kind because its projection type is not ALL"},
		{
			queryPage, "Query", `{"TableName":"events","IndexName":"by-kind","ProjectionExpression":"note, secret, #at",` +
				`"KeyConditionExpression":"kind = :a",` +
				`"ExpressionAttributeValues":{":a":{"S":"1"}},"ExpressionAttributeNames":{"#at":"at"}}`, invalid,
			wrong + "Global secondary index by-kind does not project [at, secret]",
		},

		{
			scanPage, "Scan", `{"TableName":"users","Segment":1}`, invalid,
			"The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
		},
		{
			scanPage, "Scan", `{"TableName":"users","TotalSegments":2}`, invalid,
			"The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
		},
		{scanPage, "Scan", `{"TableName":"users","Segment":2,"TotalSegments":2}`, invalid, "The Segment parameter is zero-based and " +
			"must be less than parameter TotalSegments: Segment: 2 is not less than TotalSegments: 2"},
		{
			scanPage, "Scan", `{"TableName":"users","ExclusiveStartKey":{"x":{"S":"a"}}}`, invalid,
			"The provided starting key is invalid: " + mismatch,
		},

		{
			getPage, "BatchGetItem", `{"RequestItems":{"users":{"Keys":[` + many(2, `{"id":{"S":"a"}}`) + `]}}}`, invalid,
			"Provided list of item keys contains duplicates",
		},
		{getPage, "BatchGetItem", `{"RequestItems":{"users":{"Keys":[` + many(60, `{"id":{"S":"a"}}`) + `]},"events":{"Keys":[` +
			many(41, `{"stream":{"S":"a"},"version":{"N":"1"}}`) + `]}}}`, invalid, "Too many items requested for the BatchGetItem call"},
		{batchPage, "BatchWriteItem", `{"RequestItems":{"users":[{"DeleteRequest":{"Key":{"id":{"S":"a"}}}},` +
			`{"PutRequest":{"Item":{"id":{"S":"a"}}}}]}}`, invalid, "Provided list of item keys contains duplicates"},
		{
			batchPage, "BatchWriteItem", `{"RequestItems":{"users":[` + many(26, `{"DeleteRequest":{"Key":{"id":{"S":"a"}}}}`) + `]}}`, invalid,
			"1 validation error detected: Value '[…]' at 'requestItems.users.member' failed to satisfy constraint: " +
				"Member must have length less than or equal to 25",
		},

		{
			txPage, "TransactWriteItems", `{"TransactItems":[` + many(2, `{"Delete":{"TableName":"users","Key":{"id":{"S":"a"}}}}`) + `]}`, invalid,
			"Transaction request cannot include multiple operations on one item",
		},
		{txPage, "TransactWriteItems", `{"TransactItems":[{}]}`, invalid, "TransactItems can only contain one of Check, Put, Update or Delete"},
		{
			txPage, "TransactWriteItems", `{"TransactItems":[` + many(101, `{"Delete":{"TableName":"users","Key":{"id":{"S":"a"}}}}`) + `]}`,
			invalid,
			"1 validation error detected: Value '[…]' at 'transactItems' failed to satisfy constraint: " +
				"Member must have length less than or equal to 100",
		},
		{
			txPage, "TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"nowhere","Item":{"id":{"S":"a"}}}}]}`, missing,
			"Requested resource not found",
		},

		{
			ttlPage, "UpdateTimeToLive", `{"TableName":"users","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":false}}`, invalid,
			"TimeToLive is already disabled",
		},
		{createPage, "CreateTable", `{"TableName":"more","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[` +
			`{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"x","AttributeType":"S"}],` +
			`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`, invalid, wrong +
			"Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions"},
		{createPage, "CreateTable", `{"TableName":"more","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],` +
			`"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}`, invalid, wrong +
			"ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"},
		{
			createPage, "CreateTable", `{"TableName":"more","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[` +
				`{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"RANGE"}]}`, invalid,
			"Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
		},
	} {
		t.Run(c.operation+"/"+c.message[:min(len(c.message), 60)], func(t *testing.T) {
			t.Parallel()
			(&server{t, s.DB, s.clock}).fails(c.operation, c.body, c.code, c.message)
			if t.Failed() {
				t.Log("see " + c.source)
			}
		})
	}
}

func TestUnsupportedMembersAreRefusedByName(t *testing.T) {
	t.Parallel()
	s := newTables(t)
	for operation, body := range map[string]string{
		"PutItem":     `{"TableName":"users","Item":{"id":{"S":"a"}},"AttributesToGet":[]}`,
		"Query":       `{"TableName":"users","KeyConditions":{}}`,
		"CreateTable": `{"TableName":"users","ResourcePolicy":"{}"}`,
	} {
		status, out := s.do(operation, body)
		if status != 501 {
			t.Errorf("%s: %d %v", operation, status, out)
		}
	}
}
