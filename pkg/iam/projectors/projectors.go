// Package projectors asks the services that keep projections what only operators may ask, on their admin addresses: what
// pkg/iam/readservice answers there. docs/admin.md explains it.
package projectors

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
)

// Parked is an aggregate that a projection has parked.
type Parked struct {
	Projection string                `json:"projection"`
	Stream     string                `json:"stream"`
	Version    eventsourcing.Version `json:"version"`
	Event      string                `json:"event"`
	// Reason may quote the event, personal data included.
	Reason   string    `json:"reason"`
	ParkedAt time.Time `json:"parkedAt"`
	Waiting  int       `json:"waiting"`
	// Redrive is the path of its redrive at the address that answered.
	Redrive string `json:"redrive,omitempty"`
}

// Consumers returns the consumers of that name, or all if it is empty: those that park aggregates.
func Consumers(n topology.Names, only string) ([]topology.Consumer, error) {
	all := n.Consumers()
	if only == "" {
		return all, nil
	}
	var known []string
	for _, c := range all {
		if c.Name == only {
			return []topology.Consumer{c}, nil
		}
		known = append(known, c.Name)
	}
	return nil, fmt.Errorf("there is no projection %q; there are: %s", only, strings.Join(known, " "))
}

// EachParked calls on with every parked aggregate of a consumer, and the address that answers for it. on may end it with an error.
func EachParked(
	ctx context.Context, client *adminclient.Client, consumer string, on func(address string, p Parked) error,
) error {
	address, err := client.Projection(ctx, consumer)
	if err != nil {
		return err
	}
	for page := "/projections/" + consumer + "/parked?limit=100"; page != ""; {
		var found []Parked
		if page, err = client.Get(ctx, address+page, &found); err != nil {
			return err
		}
		for _, parked := range found {
			if err := on(address, parked); err != nil {
				return err
			}
		}
	}
	return nil
}

// Applied is how far a redrive or a rebuild of one aggregate has come.
type Applied struct {
	Projection string                `json:"projection"`
	Stream     string                `json:"stream"`
	Version    eventsourcing.Version `json:"version"`
	Done       bool                  `json:"done"`
	// Problem is why an event cannot be applied, so that it is not done.
	Problem string `json:"problem,omitempty"`
}

func (a Applied) String() string {
	if a.Problem != "" {
		return fmt.Sprintf("%s in %s: %s", a.Stream, a.Projection, a.Problem)
	}
	return fmt.Sprintf("%s in %s: applied up to version %d", a.Stream, a.Projection, a.Version)
}

// ToTheEnd sends a POST until all is applied, or an event cannot be. so is called with each part that is done.
func ToTheEnd(ctx context.Context, client *adminclient.Client, at string, a Applied, so func(Applied)) (Applied, error) {
	for {
		err := client.Post(ctx, at, &a)
		refusal, ok := errors.AsType[*adminclient.Refusal](err)
		switch {
		case ok && refusal.Status/100 == 4, ok && refusal.Code == "log_hole":
			a.Problem = refusal.Error()
			return a, nil
		case err != nil:
			return a, err
		case a.Done:
			return a, nil
		}
		so(a)
	}
}

// RebuildPath is where the rows of an aggregate are written anew in a projection.
func RebuildPath(projection, stream string) string {
	category, id := path.Split(stream)
	return "/projections/" + projection + "/streams/" + category + url.PathEscape(id) + "/rebuild"
}
