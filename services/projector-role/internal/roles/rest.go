package roles

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
	"github.com/leftfold/leftfold/pkg/iam/view"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// firstMembers is how many members a role is shown with; GET /roles/{id}/users pages through all.
const firstMembers = 20

// Role is a role as the list shows it.
type Role struct {
	ID string `json:"id" format:"uuid" doc:"the role's id" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
	view.Role
	Version eventsourcing.Version `json:"version" doc:"events of the role that this answer shows" example:"1"`
}

// RoleWithMembers is one role with its first members.
type RoleWithMembers struct {
	Role
	Users []Member `json:"users,omitzero" nullable:"false" maxItems:"20" doc:"the first members; /roles/{id}/users has all; absent with as_of"`
}

// Member is a user that holds a role.
type Member struct {
	ID        string `json:"id" format:"uuid" doc:"the user's id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	FirstName string `json:"firstName" doc:"empty until it is given" example:"Dan"`
	LastName  string `json:"lastName" doc:"empty until it is given" example:"O'Neill"`
	Email     string `json:"email" doc:"unique ignoring case and spelling in Unicode" example:"dan@example.com"`
	Disabled  bool   `json:"disabled,omitempty" doc:"it is barred from changes" example:"false"`
	// Until is nil for a grant without an end.
	Until *time.Time `json:"until,omitempty" doc:"when the user holds the role no more; absent: never" example:"2026-12-31T17:00:00Z"`
}

type listRoles struct {
	httpapi.Paging
	Contains contains `query:"contains" example:"name:audit"`
	filter   projection.Filter
}

// contains is a list's filter.
type contains string

// Schema implements huma.SchemaProvider.
func (contains) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, MaxLength: new(300), Pattern: `^$|^name:[\s\S]`, PatternDescription: "name:text",
		Description: "attribute:text; the attribute is name",
	}
}

// Resolve implements huma.Resolver.
func (in *listRoles) Resolve(huma.Context) []error {
	if in.Contains == "" {
		return nil
	}
	return httpapi.Parse("query.contains", &in.filter, string(in.Contains), httpapi.ParseContains(nil, "name"))
}

type getRole struct {
	restvalue.Target
	history.Reading
}

type listMembers struct {
	restvalue.Target
	httpapi.Paging
}

// storedRole is a role's row as it is read.
type storedRole struct {
	projection.Key
	projection.Fence
	view.Role
}

func (r storedRole) shown() Role { return Role{ID: r.ID, Role: r.Role, Version: r.Version} }

// Register adds the reads of roles to the API.
func Register(api huma.API, reader readservice.Reader, events history.Log, log *slog.Logger) {
	past := history.Of[view.Role, role.Event]{
		Log: events, Spec: roleSpec(), Collection: "roles", OperationID: "listRoleEvents", NotFound: role.ErrNotFound,
	}
	past.Register(api, log)
	tags := []string{"roles"}
	httpapi.Register(api, log, huma.Operation{
		OperationID: "listRoles", Method: http.MethodGet, Path: "/roles", Summary: "List roles", Tags: tags,
		Description: "All roles, by id, or those of which an attribute contains a text.",
		Metadata:    httpapi.MayAnswer(projection.ErrBadCursor),
		Security:    auth.Scopes("roles:read"),
	}, func(ctx context.Context, in *listRoles) (*httpapi.Page[Role], error) {
		after, err := in.After()
		if err != nil {
			return nil, err
		}
		var rows []storedRole
		next, err := reader.List(ctx, in.filter, in.Limit, after, &rows)
		if err != nil {
			return nil, err
		}
		roles := make([]Role, 0, len(rows))
		for _, row := range rows {
			roles = append(roles, row.shown())
		}
		return httpapi.NewPage(roles, "/roles", &in.Paging, next, "contains", string(in.Contains)), nil
	})
	httpapi.Register(api, log, huma.Operation{
		OperationID: "getRole", Method: http.MethodGet, Path: "/roles/{id}", Summary: "One role and its first members", Tags: tags,
		Description: "To read what you wrote, ask for its version and how long to wait for it. As of the past, it is shown without its members.",
		Metadata: httpapi.MayAnswer(
			role.ErrNotFound, projection.ErrNotYet, projection.ErrBadRow, problems.ErrNoSuchVersion, eventsourcing.ErrLogHole,
		),
		Security: auth.Scopes("roles:read", "users:read"), // it shows users
	}, func(ctx context.Context, in *getRole) (*httpapi.One[RoleWithMembers], error) {
		if in.AsOf != "" {
			row, version, err := past.At(ctx, string(in.ID), in.AsOf)
			if err != nil {
				return nil, err
			}
			return httpapi.Show(in.Known, version, RoleWithMembers{Role: Role{ID: string(in.ID), Role: row, Version: version}}), nil
		}
		var row storedRole
		found, err := reader.Await(ctx, string(in.ID), roleRowName, in.MinVersion, in.Wait.Duration(), &row)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, role.ErrNotFound
		}
		members, _, err := membersOf(ctx, reader, string(in.ID), firstMembers, projection.Cursor{})
		if err != nil {
			return nil, err
		}
		return httpapi.Show(in.Known, row.Version, RoleWithMembers{Role: row.shown(), Users: members}), nil
	})
	httpapi.Register(api, log, huma.Operation{
		OperationID: "listMembers", Method: http.MethodGet, Path: "/roles/{id}/users", Summary: "List the users that hold a role", Tags: tags,
		Description: "The users that hold the role, by id.",
		Metadata:    httpapi.MayAnswer(role.ErrNotFound, projection.ErrBadCursor, projection.ErrBadRow),
		Security:    auth.Scopes("roles:read", "users:read"),
	}, func(ctx context.Context, in *listMembers) (*httpapi.Page[Member], error) {
		after, err := in.After()
		if err != nil {
			return nil, err
		}
		members, next, err := membersOf(ctx, reader, string(in.ID), in.Limit, after)
		if err != nil {
			return nil, err
		}
		if len(members) == 0 {
			if found, err := reader.Get(ctx, string(in.ID), roleRowName, &storedRole{}); err != nil || !found {
				return nil, notFoundUnless(err)
			}
		}
		return httpapi.NewPage(members, "/roles/"+string(in.ID)+"/users", &in.Paging, next), nil
	})
}

func notFoundUnless(err error) error {
	if err != nil {
		return err
	}
	return role.ErrNotFound
}

func membersOf(
	ctx context.Context, reader readservice.Reader, roleID string, limit int, cursor projection.Cursor,
) ([]Member, projection.Cursor, error) {
	var rows []memberRow
	next, err := reader.Rows(ctx, roleID, memberPrefix, limit, cursor, &rows)
	if err != nil {
		return nil, next, err
	}
	members := make([]Member, 0, len(rows))
	for _, row := range rows {
		members = append(members, Member{
			ID: row.UserID, FirstName: row.FirstName, LastName: row.LastName, Email: row.Email, Disabled: row.Disabled, Until: row.Until,
		})
	}
	return members, next, nil
}
