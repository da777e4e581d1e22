package dynamodb

import (
	"context"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// longestRecovery is how many days of point-in-time recovery a table has unless it is told fewer.
const longestRecovery = 35

type pointInTimeRecovery struct {
	PointInTimeRecoveryStatus  string
	RecoveryPeriodInDays       int     `json:",omitempty"`
	EarliestRestorableDateTime float64 `json:",omitempty"`
	LatestRestorableDateTime   float64 `json:",omitempty"`
}

type continuousBackups struct {
	ContinuousBackupsStatus        string
	PointInTimeRecoveryDescription pointInTimeRecovery
}

type continuousBackupsOutput struct{ ContinuousBackupsDescription continuousBackups }

type updateContinuousBackupsInput struct {
	TableName                        string
	PointInTimeRecoverySpecification *struct {
		PointInTimeRecoveryEnabled *bool
		RecoveryPeriodInDays       *int
	}
}

// describeContinuousBackups describes point-in-time recovery as it was set. There are no backups.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeContinuousBackups.html
func (db *DB) describeContinuousBackups(_ context.Context, in *tableInput) (*continuousBackupsOutput, error) {
	t, err := db.share(in.TableName)
	if err != nil {
		return nil, noTableToBackUp(in.TableName)
	}
	defer t.gate.RUnlock()
	return t.backups(), nil
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateContinuousBackups.html
func (db *DB) updateContinuousBackups(_ context.Context, in *updateContinuousBackupsInput) (*continuousBackupsOutput, error) {
	k, wanted := &constraints{}, in.PointInTimeRecoverySpecification
	k.required(wanted != nil, "pointInTimeRecoverySpecification")
	if wanted != nil {
		const at = "pointInTimeRecoverySpecification."
		k.required(wanted.PointInTimeRecoveryEnabled != nil, at+"pointInTimeRecoveryEnabled")
		k.between(wanted.RecoveryPeriodInDays, at+"recoveryPeriodInDays", 1, longestRecovery)
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	t, err := db.lock(in.TableName)
	if err != nil {
		return nil, noTableToBackUp(in.TableName)
	}
	defer t.gate.Unlock()
	switch days := wanted.RecoveryPeriodInDays; {
	case !*wanted.PointInTimeRecoveryEnabled:
		t.settings.recovery = 0
	case days != nil:
		t.settings.recovery = *days
	default:
		t.settings.recovery = longestRecovery
	}
	t.save()
	return t.backups(), nil
}

func noTableToBackUp(name string) error {
	return awsjson.Errorf("TableNotFoundException", "Table not found: %s", name)
}

// backups requires the gate.
func (t *table) backups() *continuousBackupsOutput {
	recovery := pointInTimeRecovery{PointInTimeRecoveryStatus: "DISABLED"}
	if days := t.settings.recovery; days > 0 {
		recovery = pointInTimeRecovery{
			PointInTimeRecoveryStatus: "ENABLED", RecoveryPeriodInDays: days,
			EarliestRestorableDateTime: epoch(t.createdAt), LatestRestorableDateTime: epoch(t.createdAt),
		}
	}
	return &continuousBackupsOutput{continuousBackups{"ENABLED", recovery}}
}
