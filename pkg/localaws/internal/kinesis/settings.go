package kinesis

import (
	"context"
	"time"
)

type retentionInput struct {
	streamRef

	RetentionPeriodHours *int
}

func (k *Kinesis) increaseRetention(_ context.Context, in *retentionInput) (*done, error) {
	return k.setRetention(in, func(s *stream, hours int) error {
		if have := int(s.retention / time.Hour); hours < have {
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be shorter than existing retention "+
				"period (%d hours). Use DecreaseRetentionPeriod API.", hours, s.name, have)
		}
		return nil
	})
}

func (k *Kinesis) decreaseRetention(_ context.Context, in *retentionInput) (*done, error) {
	return k.setRetention(in, func(s *stream, hours int) error {
		if have := int(s.retention / time.Hour); hours > have {
			return invalidArgument("Requested retention period (%d hours) for stream %s can not be longer than existing retention "+
				"period (%d hours). Use IncreaseRetentionPeriod API.", hours, s.name, have)
		}
		return nil
	})
}

func (k *Kinesis) setRetention(in *retentionInput, allow func(s *stream, hours int) error) (*done, error) {
	v := violations{}
	in.check(&v)
	v.required("retentionPeriodHours", in.RetentionPeriodHours != nil)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	hours := *in.RetentionPeriodHours
	if least := int(minRetention / time.Hour); hours < least {
		return nil, invalidArgument("Minimum allowed retention period is %d hours. Requested retention period (%d hours) is too short.",
			least, hours)
	}
	if most := int(maxRetention / time.Hour); hours > most {
		return nil, invalidArgument("Maximum allowed retention period is %d hours. Requested retention period (%d hours) is too long.",
			most, hours)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := allow(s, hours); err != nil {
		return nil, err
	}
	s.trimAll(k.now()) // records that expired under the old retention must not return
	s.retention = time.Duration(hours) * time.Hour
	s.save()
	return &done{}, nil
}

type updateMaxRecordSizeInput struct {
	StreamARN          *string
	MaxRecordSizeInKiB *int
}

func (k *Kinesis) updateMaxRecordSize(_ context.Context, in *updateMaxRecordSizeInput) (*done, error) {
	v := violations{}
	v.arn(in.StreamARN)
	v.required("maxRecordSizeInKiB", in.MaxRecordSizeInKiB != nil)
	v.between("maxRecordSizeInKiB", in.MaxRecordSizeInKiB, minMaxRecordSize>>10, maxMaxRecordSize>>10)
	if err := v.err(); err != nil {
		return nil, err
	}
	s, err := k.find(streamRef{StreamARN: in.StreamARN})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxRecordSize = *in.MaxRecordSizeInKiB << 10
	s.save()
	return &done{}, nil
}
