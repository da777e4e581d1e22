// Package retirements shows how far the retirements of roles have come.
package retirements

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Retirement is how far the last retirement of a role has come.
type Retirement struct {
	RoleID string           `json:"roleId" format:"uuid" doc:"the role's id" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
	State  retirement.Phase `json:"state" enum:"running,done,cancelled" doc:"running until nobody holds the role, or it is cancelled" example:"running"`
	Total  int64            `json:"total" doc:"users that held the role when the retirement was requested" example:"3"`
	Done   int64            `json:"done" doc:"those of them that do not hold it any more" example:"2"`
	Failed []Failure        `json:"failed" nullable:"false" maxItems:"100" doc:"the first users from whom it could not be taken, which is tried again"`
}

// Failure is a user from whom a role could not be taken.
type Failure struct {
	UserID string `json:"userId" format:"uuid" doc:"the user's id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	Reason string `json:"reason" doc:"the code of the problem" example:"user_not_found"`
}

type output struct{ Body Retirement }

// Show returns the process of a role; (*process.Manager).Show is one.
type Show func(ctx context.Context, roleID string) (process.View[retirement.State], error)

// Register adds the read to the API.
func Register(api huma.API, show Show, log *slog.Logger) {
	httpapi.Register(api, log, huma.Operation{
		OperationID: "getRetirement", Method: http.MethodGet, Path: "/roles/{id}/retirement", Tags: []string{"roles"},
		Summary:     "How far the retirement of a role has come",
		Description: "A role that is retired is taken from everybody. It is there a moment after the retirement was requested.",
		Metadata:    httpapi.MayAnswer(problems.ErrNoRetirement),
		Security:    auth.Scopes("roles:read", "users:read"), // it shows users
	}, func(ctx context.Context, in *restvalue.Target) (*output, error) {
		v, err := show(ctx, string(in.ID))
		if err != nil {
			return nil, err
		}
		if v.Version == 0 {
			return nil, problems.ErrNoRetirement
		}
		return &output{shown(string(in.ID), v)}, nil
	})
}

func shown(roleID string, v process.View[retirement.State]) Retirement {
	r := Retirement{RoleID: roleID, State: v.State.Phase, Total: v.State.Total, Done: v.State.Done, Failed: []Failure{}}
	if v.Cancelled && r.State == retirement.Running { // by an operator
		r.State = retirement.Cancelled
	}
	for _, f := range v.State.Failed {
		r.Failed = append(r.Failed, Failure(f))
	}
	return r
}
