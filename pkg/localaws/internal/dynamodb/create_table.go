package dynamodb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

type throughput struct {
	ReadCapacityUnits  int64
	WriteCapacityUnits int64
}

// encryption is accepted and described, but memory is not encrypted.
type encryption struct {
	Enabled        *bool
	SSEType        string
	KMSMasterKeyID string `json:"KMSMasterKeyId"`
}

// settings are members of a table that are only described and have no effect, but for deletion protection.
type settings struct {
	onDemand   bool
	onDemandAt time.Time
	throughput throughput
	class      string
	protected  bool
	encryption *encryption
	recovery   int // days of point-in-time recovery; 0: none
}

type createIndex struct {
	IndexName             string
	KeySchema             []keySchemaElement
	Projection            *projection
	ProvisionedThroughput *throughput
}

type createTableInput struct {
	TableName                 string
	AttributeDefinitions      []attributeDefinition
	KeySchema                 []keySchemaElement
	LocalSecondaryIndexes     []createIndex
	GlobalSecondaryIndexes    []createIndex
	BillingMode               string
	ProvisionedThroughput     *throughput
	StreamSpecification       *streamSpecification
	SSESpecification          *encryption
	Tags                      []tag
	TableClass                string
	DeletionProtectionEnabled bool
}

type tableOutput struct {
	TableDescription tableDescription
}

func (in *createTableInput) check() error {
	k := &constraints{}
	k.table(in.TableName)
	k.required(in.AttributeDefinitions != nil, "attributeDefinitions")
	k.definitions(in.AttributeDefinitions)
	k.keySchema(in.KeySchema, "keySchema")
	k.settings(in.BillingMode, in.TableClass, in.ProvisionedThroughput, in.StreamSpecification)
	k.tags(in.Tags)
	for i, ix := range in.LocalSecondaryIndexes {
		ix.check(k, fmt.Sprintf("localSecondaryIndexes.%d.member", i+1))
	}
	for i, ix := range in.GlobalSecondaryIndexes {
		ix.check(k, fmt.Sprintf("globalSecondaryIndexes.%d.member", i+1))
	}
	if err := k.err(); err != nil {
		return err
	}
	if err := checkStream(in.StreamSpecification); err != nil {
		return err
	}
	switch {
	case in.BillingMode == "PAY_PER_REQUEST" && in.ProvisionedThroughput != nil:
		return invalidParameter("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case in.BillingMode != "PAY_PER_REQUEST" && in.ProvisionedThroughput == nil:
		return invalidParameter("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	case in.LocalSecondaryIndexes != nil && len(in.LocalSecondaryIndexes) == 0:
		return invalidParameter("List of LocalSecondaryIndexes is empty")
	case in.GlobalSecondaryIndexes != nil && len(in.GlobalSecondaryIndexes) == 0:
		return invalidParameter("List of GlobalSecondaryIndexes is empty")
	}
	return nil
}

func (k *constraints) definitions(defs []attributeDefinition) {
	for i, d := range defs {
		at := fmt.Sprintf("attributeDefinitions.%d.member.", i+1)
		k.required(d.AttributeName != "", at+"attributeName")
		k.required(d.AttributeType != "", at+"attributeType")
		k.oneOf(d.AttributeType, at+"attributeType", "B", "N", "S")
	}
}

func (k *constraints) keySchema(schema []keySchemaElement, at string) {
	if k.required(schema != nil, at); schema == nil {
		return
	}
	k.length(len(schema), "[…]", at, 1, 2)
	for i, e := range schema {
		member := fmt.Sprintf("%s.%d.member.", at, i+1)
		k.required(e.AttributeName != "", member+"attributeName")
		k.required(e.KeyType != "", member+"keyType")
		k.oneOf(e.KeyType, member+"keyType", "HASH", "RANGE")
	}
}

func (k *constraints) settings(billing, class string, units *throughput, stream *streamSpecification) {
	k.oneOf(billing, "billingMode", "PROVISIONED", "PAY_PER_REQUEST")
	k.oneOf(class, "tableClass", "STANDARD", "STANDARD_INFREQUENT_ACCESS")
	k.throughput(units, "provisionedThroughput")
	if stream != nil {
		k.oneOf(stream.StreamViewType, "streamSpecification.streamViewType",
			"KEYS_ONLY", "NEW_AND_OLD_IMAGES", "NEW_IMAGE", "OLD_IMAGE")
	}
}

func (k *constraints) throughput(units *throughput, at string) {
	if units == nil {
		return
	}
	for member, n := range map[string]int64{"readCapacityUnits": units.ReadCapacityUnits, "writeCapacityUnits": units.WriteCapacityUnits} {
		if n < 1 {
			k.violate(fmt.Sprintf("'%d'", n), at+"."+member, "Member must have value greater than or equal to 1")
		}
	}
}

func (ix createIndex) check(k *constraints, at string) {
	k.name(ix.IndexName, at+".indexName")
	k.keySchema(ix.KeySchema, at+".keySchema")
	k.throughput(ix.ProvisionedThroughput, at+".provisionedThroughput")
	if k.required(ix.Projection != nil, at+".projection"); ix.Projection != nil {
		k.oneOf(ix.Projection.ProjectionType, at+".projection.projectionType", "ALL", "INCLUDE", "KEYS_ONLY")
	}
}

func checkStream(s *streamSpecification) error {
	switch {
	case s == nil:
		return nil
	case s.StreamEnabled && s.StreamViewType == "":
		return invalidParameter("StreamViewType must be specified when StreamEnabled is true")
	case !s.StreamEnabled && s.StreamViewType != "":
		return invalidParameter("StreamViewType can be specified only when StreamEnabled is true")
	}
	return nil
}

func (db *DB) createTable(_ context.Context, in *createTableInput) (*tableOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	t, err := db.newTable(in)
	if err != nil {
		return nil, err
	}
	if err := db.register(t); err != nil {
		return nil, err
	}
	if s := in.StreamSpecification; s != nil && s.StreamEnabled {
		db.enableStream(t, s.StreamViewType)
	}
	defer t.gate.Unlock()
	t.save()
	d := t.describe()
	d.TableStatus = "CREATING" // as on AWS; the next DescribeTable returns ACTIVE
	return &tableOutput{d}, nil
}

// register adds a table to the DB and leaves its gate locked.
func (db *DB) register(t *table) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.tables[t.name] != nil {
		return awsjson.Errorf("ResourceInUseException", "Table already exists: %s", t.name)
	}
	t.gate.Lock()
	db.tables[t.name] = t
	return nil
}

func (db *DB) newTable(in *createTableInput) (*table, error) {
	defs, err := parseDefinitions(in.AttributeDefinitions)
	if err != nil {
		return nil, err
	}
	keys, err := parseKeySchema(in.KeySchema, defs)
	if err != nil {
		return nil, err
	}
	now, name := db.options.Now(), tableName(in.TableName)
	t := &table{
		kept: db.kept, name: name, arn: db.tableARN(name), id: newID(name, now), createdAt: now, keys: keys, defs: defs,
		tags: map[string]string{},
		settings: settings{
			onDemand: in.BillingMode == "PAY_PER_REQUEST", onDemandAt: now,
			class: in.TableClass, protected: in.DeletionProtectionEnabled, encryption: in.SSESpecification,
		},
	}
	if in.ProvisionedThroughput != nil {
		t.settings.throughput = *in.ProvisionedThroughput
	}
	if err := t.addIndexes(in); err != nil {
		return nil, err
	}
	if err := t.checkDefinitions(); err != nil {
		return nil, err
	}
	return t, t.addTags(in.Tags)
}

func newID(name string, now time.Time) string {
	h := sha256.Sum256(fmt.Append(nil, name, now.UnixNano()))
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// Index limits. Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-secondary-indexes
const (
	maxLocalIndexes  = 5
	maxGlobalIndexes = 20
)

func (t *table) addIndexes(in *createTableInput) error {
	for _, spec := range in.LocalSecondaryIndexes {
		if err := t.addIndex(spec, true); err != nil {
			return err
		}
	}
	for _, spec := range in.GlobalSecondaryIndexes {
		if in.BillingMode == "PAY_PER_REQUEST" && spec.ProvisionedThroughput != nil {
			return invalidParameter("ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST",
				spec.IndexName)
		}
		if err := t.addIndex(spec, false); err != nil {
			return err
		}
	}
	if len(in.LocalSecondaryIndexes) > maxLocalIndexes {
		return invalidParameter("Number of LocalSecondaryIndexes exceeds per-table limit of %d", maxLocalIndexes)
	}
	return nil
}

func (t *table) addIndex(spec createIndex, local bool) error {
	keys, err := parseKeySchema(spec.KeySchema, t.defs)
	if err != nil {
		return err
	}
	kind := spec.Projection.ProjectionType
	switch {
	case local && t.keys.sort == "":
		return invalidParameter("Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
	case local && keys.sort == "":
		return invalidParameter("Index KeySchema does not have a range key for index: %s", spec.IndexName)
	case local && keys.hash != t.keys.hash:
		return invalidParameter("Index KeySchema does not have the same leading hash key as table KeySchema for index: %s. "+
			"index hash key: %s, table hash key: %s", spec.IndexName, keys.hash, t.keys.hash)
	case kind == "":
		return invalidParameter("Unknown ProjectionType: null")
	case kind != "INCLUDE" && spec.Projection.NonKeyAttributes != nil:
		return invalidParameter("ProjectionType is %s, but NonKeyAttributes is specified", kind)
	case kind == "INCLUDE" && len(spec.Projection.NonKeyAttributes) == 0:
		return invalidParameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
	case t.index(spec.IndexName) != nil:
		return invalidParameter("Duplicate index name: %s", spec.IndexName)
	}
	t.indexes = append(t.indexes, &index{
		name: spec.IndexName, keys: keys, table: t.keys, local: local, projection: *spec.Projection,
		throughput: spec.ProvisionedThroughput,
	})
	if global := len(t.indexes) - t.localIndexes(); global > maxGlobalIndexes {
		return invalidParameter("GlobalSecondaryIndex count exceeds the per-table limit of %d", maxGlobalIndexes)
	}
	return nil
}

func (t *table) localIndexes() int {
	n := 0
	for _, ix := range t.indexes {
		if ix.local {
			n++
		}
	}
	return n
}

// checkDefinitions refuses definitions that no key uses.
func (t *table) checkDefinitions() error {
	used := map[string]bool{t.keys.hash: true}
	if t.keys.sort != "" {
		used[t.keys.sort] = true
	}
	for _, ix := range t.indexes {
		for _, name := range ix.keys.names() {
			used[name] = true
		}
	}
	if len(used) == len(t.defs) {
		return nil
	}
	if len(t.indexes) == 0 {
		return invalidParameter("Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
	}
	return unusedDefinitions(t.defs, used)
}

func unusedDefinitions[V any](given definitions, used map[string]V) error {
	return invalidParameter("Some AttributeDefinitions are not used. AttributeDefinitions: %s, keys used: %s",
		bracketed(sortedKeys(given)), bracketed(sortedKeys(used)))
}

func sortedKeys[M ~map[K]V, K cmp.Ordered, V any](m M) []K { return slices.Sorted(maps.Keys(m)) }
