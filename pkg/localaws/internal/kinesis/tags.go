package kinesis

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// maxTags: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_AddTagsToStream.html
const maxTags = 50

// tags checks tags to set, which may be empty.
func (v *violations) tags(at string, tags map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		value := tags[key]
		v.length(at+"."+key+".key", &key, 1, 128)
		v.length(at+"."+key+".value", &value, 0, 256)
	}
}

type addTagsToStreamInput struct {
	streamRef

	Tags map[string]string
}

func (k *Kinesis) addTagsToStream(_ context.Context, in *addTagsToStreamInput) (*done, error) {
	return k.addTags(in.streamRef, in.Tags)
}

type tagResourceInput struct {
	ResourceARN *string
	Tags        map[string]string
}

func (k *Kinesis) tagResource(_ context.Context, in *tagResourceInput) (*done, error) {
	return k.addTags(streamRef{StreamARN: in.ResourceARN}, in.Tags)
}

func (k *Kinesis) addTags(ref streamRef, tags map[string]string) (*done, error) {
	v := violations{}
	ref.check(&v)
	if v.required("tags", tags != nil); tags != nil {
		v.size("tags", len(tags), 1, 200)
	}
	v.tags("tags", tags)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(ref)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := maps.Clone(s.tags)
	maps.Copy(all, tags)
	if len(all) > maxTags {
		return nil, invalidArgument("Failed to add tags to stream %s under account %s because a given stream cannot have more than %d tags "+
			"associated with it.", s.name, k.opts.AccountID, maxTags)
	}
	s.tags = all
	s.save()
	return &done{}, nil
}

type removeTagsFromStreamInput struct {
	streamRef

	TagKeys []string
}

func (k *Kinesis) removeTagsFromStream(_ context.Context, in *removeTagsFromStreamInput) (*done, error) {
	return k.removeTags(in.streamRef, in.TagKeys)
}

type untagResourceInput struct {
	ResourceARN *string
	TagKeys     []string
}

func (k *Kinesis) untagResource(_ context.Context, in *untagResourceInput) (*done, error) {
	return k.removeTags(streamRef{StreamARN: in.ResourceARN}, in.TagKeys)
}

func (k *Kinesis) removeTags(ref streamRef, keys []string) (*done, error) {
	v := violations{}
	ref.check(&v)
	if v.required("tagKeys", keys != nil); keys != nil {
		v.size("tagKeys", len(keys), 1, 50)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(ref)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		delete(s.tags, key)
	}
	s.save()
	return &done{}, nil
}

type tagJSON struct{ Key, Value string }

// sortedTags returns a stream's tags sorted by key.
func (s *stream) sortedTags() []tagJSON {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tags := make([]tagJSON, 0, len(s.tags))
	for _, key := range slices.Sorted(maps.Keys(s.tags)) {
		tags = append(tags, tagJSON{key, s.tags[key]})
	}
	return tags
}

type listTagsForStreamInput struct {
	streamRef

	ExclusiveStartTagKey *string
	Limit                *int
}

type listTagsForStreamOutput struct {
	Tags        []tagJSON
	HasMoreTags bool
}

func (k *Kinesis) listTagsForStream(_ context.Context, in *listTagsForStreamInput) (*listTagsForStreamOutput, error) {
	v := violations{}
	in.check(&v)
	v.length("exclusiveStartTagKey", in.ExclusiveStartTagKey, 1, 128)
	v.between("limit", in.Limit, 1, maxTags)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	tags := s.sortedTags()
	if after := in.ExclusiveStartTagKey; after != nil {
		tags = slices.DeleteFunc(tags, func(t tagJSON) bool { return strings.Compare(t.Key, *after) <= 0 })
	}
	page, more := firstPage(tags, in.Limit, maxTags)
	return &listTagsForStreamOutput{Tags: page, HasMoreTags: more}, nil
}

type listTagsForResourceInput struct{ ResourceARN *string }

type listTagsForResourceOutput struct{ Tags []tagJSON }

func (k *Kinesis) listTagsForResource(_ context.Context, in *listTagsForResourceInput) (*listTagsForResourceOutput, error) {
	s, err := k.checkedFind(streamRef{StreamARN: in.ResourceARN})
	if err != nil {
		return nil, err
	}
	return &listTagsForResourceOutput{Tags: s.sortedTags()}, nil
}
