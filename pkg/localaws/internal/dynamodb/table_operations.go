package dynamodb

import (
	"context"
	"slices"
	"sync"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
)

type tableInput struct{ TableName string }

// lock returns a table for a change of the table itself. The caller must call t.gate.Unlock.
func (db *DB) lock(nameOrARN string) (*table, error) {
	return db.admit(nameOrARN, (*sync.RWMutex).Lock, (*sync.RWMutex).Unlock)
}

// share returns a table for reading the table itself. The caller must call t.gate.RUnlock.
func (db *DB) share(nameOrARN string) (*table, error) {
	return db.admit(nameOrARN, (*sync.RWMutex).RLock, (*sync.RWMutex).RUnlock)
}

func (db *DB) admit(nameOrARN string, lock, unlock func(*sync.RWMutex)) (*table, error) {
	k := &constraints{}
	k.table(nameOrARN)
	if err := k.err(); err != nil {
		return nil, err
	}
	t := db.table(nameOrARN)
	if t == nil {
		return nil, tableNotFound(tableName(nameOrARN))
	}
	if lock(&t.gate); t.deleted {
		unlock(&t.gate)
		return nil, tableNotFound(t.name)
	}
	return t, nil
}

type describeTableOutput struct{ Table tableDescription }

func (db *DB) describeTable(_ context.Context, in *tableInput) (*describeTableOutput, error) {
	t, err := db.share(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	return &describeTableOutput{t.describe()}, nil
}

type listTablesInput struct {
	ExclusiveStartTableName string
	Limit                   *int
}

type listTablesOutput struct {
	TableNames             []string
	LastEvaluatedTableName string `json:",omitempty"`
}

func (db *DB) listTables(_ context.Context, in *listTablesInput) (*listTablesOutput, error) {
	k := &constraints{}
	k.between(in.Limit, "limit", 1, 100)
	if err := k.err(); err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	db.mu.RLock()
	names := sortedKeys(db.tables)
	db.mu.RUnlock()
	first, found := slices.BinarySearch(names, in.ExclusiveStartTableName)
	if found {
		first++
	}
	out := &listTablesOutput{TableNames: append([]string{}, names[first:]...)}
	if len(out.TableNames) > limit {
		out.TableNames = out.TableNames[:limit]
		out.LastEvaluatedTableName = out.TableNames[limit-1]
	}
	return out, nil
}

func (db *DB) deleteTable(_ context.Context, in *tableInput) (*tableOutput, error) {
	t, err := db.lock(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.Unlock()
	if t.settings.protected {
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. " +
			"Disable deletion protection first.")
	}
	if t.stream != nil {
		db.disableStream(t)
	}
	t.deleted = true
	db.mu.Lock()
	delete(db.tables, t.name)
	t.saveDeleted()
	db.mu.Unlock()
	d := t.describe()
	d.TableStatus = "DELETING"
	return &tableOutput{d}, nil
}

type updateTableInput struct {
	TableName                   string
	AttributeDefinitions        []attributeDefinition
	BillingMode                 string
	ProvisionedThroughput       *throughput
	GlobalSecondaryIndexUpdates []indexUpdate
	StreamSpecification         *streamSpecification
	SSESpecification            *encryption
	TableClass                  string
	DeletionProtectionEnabled   *bool
}

type indexUpdate struct {
	Create *createIndex
	Update *struct {
		IndexName             string
		ProvisionedThroughput *throughput
	}
	Delete *struct{ IndexName string }
}

func (in *updateTableInput) check() error {
	k := &constraints{}
	k.definitions(in.AttributeDefinitions)
	k.settings(in.BillingMode, in.TableClass, in.ProvisionedThroughput, in.StreamSpecification)
	for _, u := range in.GlobalSecondaryIndexUpdates {
		if u.Create != nil {
			u.Create.check(k, "globalSecondaryIndexUpdates.member.create")
		}
	}
	if err := k.err(); err != nil {
		return err
	}
	if in.BillingMode == "" && in.ProvisionedThroughput == nil && len(in.GlobalSecondaryIndexUpdates) == 0 &&
		in.StreamSpecification == nil && in.SSESpecification == nil && in.TableClass == "" && in.DeletionProtectionEnabled == nil {
		return invalid("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates " +
			"or SSESpecification or ReplicaUpdates is required")
	}
	if in.BillingMode == "PAY_PER_REQUEST" && in.ProvisionedThroughput != nil {
		return invalidParameter("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	}
	return checkStream(in.StreamSpecification)
}

func (db *DB) updateTable(_ context.Context, in *updateTableInput) (*tableOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	t, err := db.lock(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.Unlock()
	if err := t.checkStreamChange(in.StreamSpecification); err != nil {
		return nil, err
	}
	if err := t.updateIndexes(in); err != nil {
		return nil, err
	}
	if s := in.StreamSpecification; s != nil && s.StreamEnabled {
		db.enableStream(t, s.StreamViewType)
	} else if s != nil {
		db.disableStream(t)
	}
	t.settings.update(in)
	if in.BillingMode == "PAY_PER_REQUEST" {
		t.settings.onDemandAt = db.options.Now()
	}
	t.save()
	d := t.describe()
	d.TableStatus = "UPDATING"
	return &tableOutput{d}, nil
}

func (t *table) checkStreamChange(s *streamSpecification) error {
	switch {
	case s == nil:
		return nil
	case s.StreamEnabled && t.stream != nil:
		return invalid("Table already has an enabled stream: TableName: %s", t.name)
	case !s.StreamEnabled && t.stream == nil:
		return invalid("Table has no enabled stream to disable: TableName: %s", t.name)
	}
	return nil
}

func (s *settings) update(in *updateTableInput) {
	if in.BillingMode != "" {
		s.onDemand = in.BillingMode == "PAY_PER_REQUEST"
		s.throughput = throughput{}
	}
	if in.ProvisionedThroughput != nil {
		s.throughput = *in.ProvisionedThroughput
	}
	if in.SSESpecification != nil {
		s.encryption = in.SSESpecification
	}
	if in.TableClass != "" {
		s.class = in.TableClass
	}
	if in.DeletionProtectionEnabled != nil {
		s.protected = *in.DeletionProtectionEnabled
	}
}

// updateIndexes makes all changes or none. AttributeDefinitions need only have the keys of new indexes, but all of those:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html and
// https://github.com/nubo-db/dynoxide/issues/144
func (t *table) updateIndexes(in *updateTableInput) (err error) {
	indexes, defs := slices.Clone(t.indexes), t.defs
	defer func() {
		if err != nil {
			t.indexes, t.defs = indexes, defs
		}
	}()
	given, err := parseDefinitions(in.AttributeDefinitions)
	if err != nil {
		return err
	}
	if t.defs, err = t.defs.with(given); err != nil {
		return err
	}
	for _, u := range in.GlobalSecondaryIndexUpdates {
		if u.Create != nil {
			if _, err = parseKeySchema(u.Create.KeySchema, given); err != nil {
				return err
			}
		}
		if err = t.updateIndex(u); err != nil {
			return err
		}
	}
	t.dropUnusedDefinitions()
	for name := range given {
		if _, used := t.defs[name]; !used {
			return unusedDefinitions(given, t.defs)
		}
	}
	return nil
}

func (t *table) updateIndex(u indexUpdate) error {
	switch {
	case u.Create != nil:
		if err := t.addIndex(*u.Create, false); err != nil {
			return err
		}
		t.backfill(t.index(u.Create.IndexName))
		return nil
	case u.Delete != nil:
		return t.changeIndex(u.Delete.IndexName, func(i int) { t.indexes = slices.Delete(slices.Clone(t.indexes), i, i+1) })
	case u.Update != nil:
		return t.changeIndex(u.Update.IndexName, func(i int) { t.indexes[i].throughput = u.Update.ProvisionedThroughput })
	default:
		return invalidParameter("One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, " +
			"GlobalSecondaryIndexUpdate.Delete must not be null")
	}
}

func (t *table) changeIndex(name string, change func(i int)) error {
	i := slices.IndexFunc(t.indexes, func(ix *index) bool { return ix.name == name && !ix.local })
	if i < 0 {
		return awsjson.Errorf("ResourceNotFoundException", "Requested resource not found")
	}
	change(i)
	return nil
}

// backfill fills a new index.
func (t *table) backfill(ix *index) {
	t.each(func(item attr.Item) { t.fill(ix, item) })
}

// fill puts an item in a new index, unless its attributes cannot be the index's keys: such items are left out, as on AWS.
func (t *table) fill(ix *index, item attr.Item) {
	if ix.check(item, t.defs, false) == nil {
		ix.apply(nil, item)
	}
}

// dropUnusedDefinitions removes the definitions that only a deleted index used.
func (t *table) dropUnusedDefinitions() {
	defs := definitions{}
	for name, kind := range t.defs {
		used := t.keys.has(name) || slices.ContainsFunc(t.indexes, func(ix *index) bool { return ix.keys.has(name) })
		if used {
			defs[name] = kind
		}
	}
	t.defs = defs
}
