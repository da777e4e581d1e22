package dynamodb

import (
	"strings"
	"time"
)

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

type throughputDescription struct {
	ReadCapacityUnits      int64
	WriteCapacityUnits     int64
	NumberOfDecreasesToday int64
}

type billingModeSummary struct {
	BillingMode                       string
	LastUpdateToPayPerRequestDateTime float64
}

type tableClassSummary struct{ TableClass string }

type sseDescription struct {
	Status          string
	SSEType         string
	KMSMasterKeyArn string `json:",omitempty"`
}

type indexDescription struct {
	IndexName             string
	KeySchema             []keySchemaElement
	Projection            projection
	IndexStatus           string                 `json:",omitempty"` // global indexes only
	ProvisionedThroughput *throughputDescription `json:",omitempty"` // global indexes only
	IndexSizeBytes        int64
	ItemCount             int64
	IndexArn              string
}

type tableDescription struct {
	AttributeDefinitions      []attributeDefinition
	TableName                 string
	KeySchema                 []keySchemaElement
	TableStatus               string
	CreationDateTime          float64
	ProvisionedThroughput     throughputDescription
	TableSizeBytes            int64
	ItemCount                 int64
	TableArn                  string
	TableID                   string               `json:"TableId"`
	BillingModeSummary        *billingModeSummary  `json:",omitempty"`
	LocalSecondaryIndexes     []indexDescription   `json:",omitempty"`
	GlobalSecondaryIndexes    []indexDescription   `json:",omitempty"`
	StreamSpecification       *streamSpecification `json:",omitempty"`
	LatestStreamLabel         string               `json:",omitempty"`
	LatestStreamArn           string               `json:",omitempty"`
	SSEDescription            *sseDescription      `json:",omitempty"`
	TableClassSummary         *tableClassSummary   `json:",omitempty"`
	DeletionProtectionEnabled bool
}

// describe requires the gate.
func (t *table) describe() tableDescription {
	d := tableDescription{
		AttributeDefinitions: t.defs.wire(), TableName: t.name, KeySchema: t.keys.wire(), TableStatus: "ACTIVE",
		CreationDateTime: epoch(t.createdAt), ProvisionedThroughput: t.settings.throughput.describe(),
		TableSizeBytes: t.bytes.Load(), ItemCount: t.count.Load(), TableArn: t.arn, TableID: t.id,
		DeletionProtectionEnabled: t.settings.protected,
	}
	if t.settings.onDemand {
		d.BillingModeSummary = &billingModeSummary{"PAY_PER_REQUEST", epoch(t.settings.onDemandAt)}
	}
	if t.settings.class != "" {
		d.TableClassSummary = &tableClassSummary{t.settings.class}
	}
	if e := t.settings.encryption; e != nil && e.Enabled != nil && *e.Enabled {
		d.SSEDescription = &sseDescription{Status: "ENABLED", SSEType: "KMS", KMSMasterKeyArn: e.KMSMasterKeyID}
	}
	if t.lastARN != "" {
		d.LatestStreamArn, d.LatestStreamLabel = t.lastARN, strings.TrimPrefix(t.lastARN, t.arn+streamInfix)
	}
	if t.stream != nil {
		d.StreamSpecification = &streamSpecification{StreamEnabled: true, StreamViewType: t.stream.view}
	}
	for _, ix := range t.indexes {
		if ix.local {
			d.LocalSecondaryIndexes = append(d.LocalSecondaryIndexes, ix.describe(t.arn))
		} else {
			d.GlobalSecondaryIndexes = append(d.GlobalSecondaryIndexes, ix.describe(t.arn))
		}
	}
	return d
}

func (u throughput) describe() throughputDescription {
	return throughputDescription{ReadCapacityUnits: u.ReadCapacityUnits, WriteCapacityUnits: u.WriteCapacityUnits}
}

func (ix *index) describe(tableARN string) indexDescription {
	d := indexDescription{
		IndexName: ix.name, KeySchema: ix.keys.wire(), Projection: ix.projection,
		IndexSizeBytes: ix.bytes.Load(), ItemCount: ix.count.Load(), IndexArn: tableARN + "/index/" + ix.name,
	}
	if ix.local {
		return d
	}
	d.IndexStatus = "ACTIVE"
	d.ProvisionedThroughput = &throughputDescription{}
	if ix.throughput != nil {
		*d.ProvisionedThroughput = ix.throughput.describe()
	}
	return d
}
