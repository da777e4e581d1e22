package dynamodb

import (
	"context"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
const maxTags = 50

type tag struct {
	Key   string
	Value string
}

type nothing struct{}

// addTags requires the gate exclusively.
func (t *table) addTags(tags []tag) error {
	for _, g := range tags {
		if len(g.Key) == 0 || len(g.Key) > 128 || len(g.Value) > 256 {
			return invalidParameter("Tag keys have 1 to 128 characters and tag values at most 256. Key: %s", g.Key)
		}
		t.tags[g.Key] = g.Value
	}
	if len(t.tags) > maxTags {
		return invalidParameter("Too many tags: a table has at most %d", maxTags)
	}
	return nil
}

// checkARN refuses everything but a table's ARN.
func (db *DB) checkARN(arn string) error {
	if t := db.table(arn); t == nil || t.arn != arn {
		return awsjson.Errorf("ResourceNotFoundException", "Requested resource not found: ResourcArn: %s not found", arn)
	}
	return nil
}

type tagResourceInput struct {
	ResourceArn string
	Tags        []tag
}

func (db *DB) tagResource(_ context.Context, in *tagResourceInput) (*nothing, error) {
	if err := db.checkARN(in.ResourceArn); err != nil {
		return nil, err
	}
	t, err := db.lock(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	defer t.gate.Unlock()
	return &nothing{}, t.addTags(in.Tags)
}

type untagResourceInput struct {
	ResourceArn string
	TagKeys     []string
}

func (db *DB) untagResource(_ context.Context, in *untagResourceInput) (*nothing, error) {
	if err := db.checkARN(in.ResourceArn); err != nil {
		return nil, err
	}
	t, err := db.lock(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	defer t.gate.Unlock()
	for _, key := range in.TagKeys {
		delete(t.tags, key)
	}
	return &nothing{}, nil
}

type listTagsInput struct{ ResourceArn string }

type listTagsOutput struct{ Tags []tag }

func (db *DB) listTagsOfResource(_ context.Context, in *listTagsInput) (*listTagsOutput, error) {
	if err := db.checkARN(in.ResourceArn); err != nil {
		return nil, err
	}
	t, err := db.share(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	out := &listTagsOutput{Tags: []tag{}}
	for _, key := range sortedKeys(t.tags) {
		out.Tags = append(out.Tags, tag{key, t.tags[key]})
	}
	return out, nil
}
