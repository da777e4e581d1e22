package dynamodb

import "context"

type timeToLiveSpecification struct {
	AttributeName string
	Enabled       *bool
}

type updateTimeToLiveInput struct {
	TableName               string
	TimeToLiveSpecification *timeToLiveSpecification
}

type updateTimeToLiveOutput struct {
	TimeToLiveSpecification timeToLiveSpecification
}

func (in *updateTimeToLiveInput) check() error {
	k := &constraints{}
	k.table(in.TableName)
	if s := in.TimeToLiveSpecification; s == nil {
		k.required(false, "timeToLiveSpecification")
	} else {
		k.required(s.Enabled != nil, "timeToLiveSpecification.enabled")
		k.length(len(s.AttributeName), s.AttributeName, "timeToLiveSpecification.attributeName", 1, 255)
	}
	return k.err()
}

func (db *DB) updateTimeToLive(_ context.Context, in *updateTimeToLiveInput) (*updateTimeToLiveOutput, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	t, err := db.lock(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.Unlock()
	s, current := *in.TimeToLiveSpecification, t.expiry.attribute
	switch {
	case *s.Enabled && current == s.AttributeName:
		return nil, invalid("TimeToLive is already enabled")
	case !*s.Enabled && current == "":
		return nil, invalid("TimeToLive is already disabled")
	case current != "" && current != s.AttributeName:
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", current)
	case *s.Enabled:
		t.startExpiry(s.AttributeName)
	default:
		t.stopExpiry()
	}
	t.save()
	return &updateTimeToLiveOutput{s}, nil
}

type timeToLiveDescription struct {
	TimeToLiveStatus string
	AttributeName    string `json:",omitempty"`
}

type describeTimeToLiveOutput struct {
	TimeToLiveDescription timeToLiveDescription
}

func (db *DB) describeTimeToLive(_ context.Context, in *tableInput) (*describeTimeToLiveOutput, error) {
	t, err := db.share(in.TableName)
	if err != nil {
		return nil, err
	}
	defer t.gate.RUnlock()
	d := timeToLiveDescription{TimeToLiveStatus: "DISABLED"}
	if t.expiry.attribute != "" {
		d = timeToLiveDescription{TimeToLiveStatus: "ENABLED", AttributeName: t.expiry.attribute}
	}
	return &describeTimeToLiveOutput{d}, nil
}
