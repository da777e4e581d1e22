package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// S3API is the part of *s3.Client that a Bucket uses. The client's retryer retries throttled and lost calls.
type S3API interface {
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Bucket is a Storage in S3. It needs s3:ListBucket on the bucket, s3:GetObject on its objects and, to write, s3:PutObject; with a
// key of KMS also kms:Decrypt and, to write, kms:GenerateDataKey. S3 lists and returns an object as soon as it is put:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel
type Bucket struct {
	Client S3API
	Name   string
	// Prefix is before every name; if there is one, it ends in a slash.
	Prefix string
}

// String returns where the archive is, as the operator names it.
func (b Bucket) String() string { return "s3://" + b.Name + "/" + strings.TrimSuffix(b.Prefix, "/") }

// List implements Storage.
func (b Bucket) List(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages := s3.NewListObjectsV2Paginator(b.Client, &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: aws.String(b.Prefix + prefix)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", fmt.Errorf("list bucket %s: %w", b.Name, err))
				return
			}
			for _, object := range page.Contents {
				if !yield(strings.TrimPrefix(aws.ToString(object.Key), b.Prefix), nil) {
					return
				}
			}
		}
	}
}

// A body whose connection breaks or is silent is fetched anew, which the SDK leaves to its callers. An object of Firehose has up to
// 64 MB before it is compressed.
const (
	attempts   = 3
	perAttempt = time.Minute
)

// Get implements Storage.
func (b Bucket) Get(ctx context.Context, name string) (content []byte, err error) {
	for range attempts {
		if content, err = b.fetch(ctx, name); err == nil {
			return content, nil
		}
		if _, refused := errors.AsType[smithy.APIError](err); refused || ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("get s3://%s/%s%s: %w", b.Name, b.Prefix, name, err)
}

func (b Bucket) fetch(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, perAttempt)
	defer cancel()
	out, err := b.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: aws.String(b.Prefix + name)})
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Body.Close() }() // it is only read
	return io.ReadAll(out.Body)
}

// Put implements Storage.
func (b Bucket) Put(ctx context.Context, name string, content []byte) error {
	_, err := b.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.Name, Key: aws.String(b.Prefix + name), Body: bytes.NewReader(content),
	})
	if err != nil {
		return fmt.Errorf("put s3://%s/%s%s: %w", b.Name, b.Prefix, name, err)
	}
	return nil
}
