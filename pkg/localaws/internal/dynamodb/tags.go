package dynamodb

import (
	"context"
	"fmt"
	"maps"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Tagging.html
const maxTags = 50

type tag struct{ Key, Value *string }

type nothing struct{}

// tags checks tags, whose value may be empty but not absent.
//
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Tag.html
func (k *constraints) tags(tags []tag) {
	check := func(value *string, at string, least, most int) {
		if value == nil {
			k.required(false, at)
			return
		}
		k.length(utf8.RuneCountInString(*value), *value, at, least, most)
	}
	for i, g := range tags {
		at := fmt.Sprintf("tags.%d.member.", i+1)
		check(g.Key, at+"key", 1, 128)
		check(g.Value, at+"value", 0, 256)
	}
}

// addTags adds all tags, which have been checked, or none. It requires the gate exclusively.
func (t *table) addTags(tags []tag) error {
	all := maps.Clone(t.tags)
	for _, g := range tags {
		all[*g.Key] = *g.Value
	}
	if len(all) > maxTags {
		return invalidParameter("Too many tags: a table has at most %d", maxTags)
	}
	t.tags = all
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
	k := &constraints{}
	k.required(in.Tags != nil, "tags")
	k.tags(in.Tags)
	if err := k.err(); err != nil {
		return nil, err
	}
	if err := db.checkARN(in.ResourceArn); err != nil {
		return nil, err
	}
	t, err := db.lock(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	defer t.gate.Unlock()
	if err := t.addTags(in.Tags); err != nil {
		return nil, err
	}
	t.save()
	return &nothing{}, nil
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
	t.save()
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
		value := t.tags[key]
		out.Tags = append(out.Tags, tag{&key, &value})
	}
	return out, nil
}
