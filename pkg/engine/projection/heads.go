package projection

import (
	"context"
	"fmt"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Heads yields, of every stream in the table, a record of the version that is applied, without its event: what another
// projection's CatchUp needs to come up to this one. It scans the table with consistent reads. The first error ends the sequence.
func (p *Projector) Heads(ctx context.Context) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		pages := dynamodb.NewScanPaginator(p.config.DB, &dynamodb.ScanInput{
			TableName: &p.config.Table, ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#row, #stream, #version"),
			ExpressionAttributeNames: map[string]string{"#row": "row", "#stream": "stream", "#version": "version"},
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(eventsourcing.Record{}, fmt.Errorf("scan table %s: %w", p.config.Table, err))
				return
			}
			for _, item := range page.Items {
				var row struct {
					Key
					Fence
				}
				if decode(item, &row) != nil || !p.ownRows[row.Row] { // a related row, or one that cannot be read
					continue
				}
				stream, err := eventsourcing.ParseStreamID(row.Stream)
				if err == nil && !yield(eventsourcing.Record{Stream: stream, Version: row.Version}, nil) {
					return
				}
			}
		}
	}
}
