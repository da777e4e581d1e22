package generation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/retry"
)

// usable bounds the wait for a change of a table.
const usable = 5 * time.Minute

// create creates the empty table of a generation, and lets it be kept as that of the first is: with its key, class, tags,
// deletion protection and point in time recovery. After a crash it can be called again.
func (o *Operator) create(ctx context.Context, g Generation) error {
	first, err := o.describe(ctx, o.Projection.Table)
	if err != nil {
		return err
	}
	in := projection.CreateTableInput(g.Name(o.Projection.Table))
	in.DeletionProtectionEnabled = first.DeletionProtectionEnabled
	if class := first.TableClassSummary; class != nil {
		in.TableClass = class.TableClass
	}
	if sse := first.SSEDescription; sse != nil && sse.KMSMasterKeyArn != nil {
		in.SSESpecification = &types.SSESpecification{
			Enabled: aws.Bool(true), SSEType: types.SSETypeKms, KMSMasterKeyId: sse.KMSMasterKeyArn,
		}
	}
	if in.Tags, err = o.tags(ctx, first); err != nil {
		return err
	}
	_, err = o.DB.CreateTable(ctx, in)
	_, exists := errors.AsType[*types.ResourceInUseException](err)
	if err != nil && !exists {
		return fmt.Errorf("create table %s: %w", *in.TableName, err)
	}
	if err := o.await(ctx, *in.TableName); err != nil {
		return err
	}
	if err := o.recoverable(ctx, *in.TableName); err != nil {
		return err
	}
	out, err := o.DB.Scan(ctx, &dynamodb.ScanInput{TableName: in.TableName, Limit: aws.Int32(1), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return fmt.Errorf("look into table %s: %w", *in.TableName, err)
	}
	if len(out.Items) > 0 {
		return fmt.Errorf("%w: %s; delete it", ErrNotEmpty, *in.TableName)
	}
	return nil
}

func (o *Operator) describe(ctx context.Context, table string) (*types.TableDescription, error) {
	out, err := o.DB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
	if err != nil {
		return nil, fmt.Errorf("describe table %s: %w", table, err)
	}
	return out.Table, nil
}

// await waits until the table can be used.
func (o *Operator) await(ctx context.Context, table string) error {
	waiter := dynamodb.NewTableExistsWaiter(o.DB, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, usable); err != nil {
		return fmt.Errorf("wait for table %s: %w", table, err)
	}
	return nil
}

// reservedTags begins the keys of tags that only AWS gives:
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
const reservedTags = "aws:"

// tags returns the tags of a table, for another one.
func (o *Operator) tags(ctx context.Context, of *types.TableDescription) (all []types.Tag, err error) {
	in := &dynamodb.ListTagsOfResourceInput{ResourceArn: of.TableArn}
	for more := true; more; more = in.NextToken != nil {
		page, err := o.DB.ListTagsOfResource(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the tags of table %s: %w", *of.TableName, err)
		}
		for _, tag := range page.Tags {
			if !strings.HasPrefix(aws.ToString(tag.Key), reservedTags) {
				all = append(all, tag)
			}
		}
		in.NextToken = page.NextToken
	}
	return all, nil
}

// recoverable gives the table the point in time recovery that the first one has. DynamoDB begins continuous backups of a new
// table a while after it can be used, and refuses until then:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateContinuousBackups.html
func (o *Operator) recoverable(ctx context.Context, table string) error {
	want, err := o.recovery(ctx, o.Projection.Table)
	if err != nil || want.PointInTimeRecoveryStatus != types.PointInTimeRecoveryStatusEnabled {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, usable)
	defer cancel()
	pause := retry.Backoff{First: time.Second, Max: 10 * time.Second}
	for n := 1; ; n++ {
		_, err := o.DB.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
			TableName: &table, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{
				PointInTimeRecoveryEnabled: aws.Bool(true), RecoveryPeriodInDays: want.RecoveryPeriodInDays,
			},
		})
		if err == nil {
			return nil
		}
		_, early := errors.AsType[*types.ContinuousBackupsUnavailableException](err)
		if !early || pause.Wait(limited, n) != nil {
			return fmt.Errorf("turn on point in time recovery of table %s: %w", table, err)
		}
	}
}

func (o *Operator) recovery(ctx context.Context, table string) (d types.PointInTimeRecoveryDescription, err error) {
	out, err := o.DB.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &table})
	if err != nil {
		return d, fmt.Errorf("describe the backups of table %s: %w", table, err)
	}
	if d := out.ContinuousBackupsDescription.PointInTimeRecoveryDescription; d != nil {
		return *d, nil
	}
	return d, nil
}

// remove deletes the table of a generation, its deletion protection first.
func (o *Operator) remove(ctx context.Context, g Generation) error {
	table := g.Name(o.Projection.Table)
	is, err := o.describe(ctx, table)
	if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone {
		return nil
	}
	if err != nil {
		return err
	}
	if aws.ToBool(is.DeletionProtectionEnabled) {
		in := &dynamodb.UpdateTableInput{TableName: &table, DeletionProtectionEnabled: aws.Bool(false)}
		if _, err := o.DB.UpdateTable(ctx, in); err != nil {
			return fmt.Errorf("end the deletion protection of table %s: %w", table, err)
		}
		if err := o.await(ctx, table); err != nil {
			return err
		}
	}
	_, err = o.DB.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table})
	if _, gone := errors.AsType[*types.ResourceNotFoundException](err); err != nil && !gone {
		return fmt.Errorf("delete table %s: %w", table, err)
	}
	return nil
}
