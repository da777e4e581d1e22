package users

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/domain/user"
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

// User is a user as the API shows it.
type User struct {
	ID string `json:"id" format:"uuid" doc:"the user's id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	view.User
	Version eventsourcing.Version `json:"version" doc:"events of the user that this answer shows" example:"3"`
	Roles   []HeldRole            `json:"roles" nullable:"false" doc:"the roles it holds, in the order they were given"`
}

// HeldRole is a role that a user holds.
type HeldRole struct {
	ID       string `json:"id" format:"uuid" doc:"the role's id" example:"01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"`
	Name     string `json:"name" doc:"what it is called now; with as_of, what it was called when it was given" example:"auditor"`
	Disabled bool   `json:"disabled,omitempty" doc:"it cannot be given to others" example:"false"`
	// Until is nil for a grant without an end.
	Until *time.Time `json:"until,omitempty" doc:"when the user holds it no more; absent: never" example:"2026-12-31T17:00:00Z"`
}

type listUsers struct {
	httpapi.Paging
	Contains contains `query:"contains" example:"lastName:Neill"`
	Email    address  `query:"email" example:"dan@example.com"`
	filter   projection.Filter
}

// address is the e-mail address of the one user to be listed; empty: all.
type address string

// Schema implements huma.SchemaProvider.
func (address) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, MaxLength: new(255), Description: "the user that has this address, in any spelling; goes without contains",
	}
}

// Resolve implements huma.ResolverWithPath.
func (a *address) Resolve(c huma.Context, at *huma.PathBuffer) []error {
	switch {
	case *a == "":
		return nil
	case c.Query("contains") != "":
		return []error{&huma.ErrorDetail{Location: at.String(), Message: "goes without contains: it selects one user at most"}}
	}
	return httpapi.Parse(at.String(), a, string(*a), func(text string) (address, error) {
		email, err := user.ParseEmail(text)
		return address(email), err
	})
}

// Owners says which stream holds a unique value; *dynamostore.Store is one.
type Owners interface {
	Owner(ctx context.Context, c eventsourcing.Claim) (eventsourcing.StreamID, error)
}

// contains is a list's filter.
type contains string

// Schema implements huma.SchemaProvider.
func (contains) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, MaxLength: new(300), Pattern: `^$|^(email|firstName|lastName):[\s\S]`,
		PatternDescription: "attribute:text, the attribute one of email, firstName, lastName",
		Description:        "attribute:text; the attribute is email, firstName or lastName",
	}
}

// Resolve implements huma.Resolver.
func (in *listUsers) Resolve(huma.Context) []error {
	if in.Contains == "" {
		return nil
	}
	spellings := map[string]func(string) []string{"email": user.EmailSpellings}
	return httpapi.Parse("query.contains", &in.filter, string(in.Contains), httpapi.ParseContains(spellings, "email", "firstName", "lastName"))
}

type getUser struct {
	restvalue.Target
	history.Reading
}

// Register adds the reads of users to the API.
func Register(api huma.API, reader readservice.Reader, events history.Log, owners Owners, log *slog.Logger) {
	past := history.Of[userRow, user.Event]{
		Log: events, Spec: userSpec(), Collection: "users", OperationID: "listUserEvents", NotFound: user.ErrNotFound,
	}
	past.Register(api, log)
	httpapi.Register(api, log, huma.Operation{
		OperationID: "listUsers", Method: http.MethodGet, Path: "/users", Summary: "List users", Tags: []string{"users"},
		Description: "All users, by id, or those of which an attribute contains a text, or the one that has an e-mail address.",
		Metadata:    httpapi.MayAnswer(projection.ErrBadCursor, projection.ErrBadRow),
		Security:    auth.Scopes("users:read"),
	}, func(ctx context.Context, in *listUsers) (*httpapi.Page[User], error) {
		after, err := in.After()
		if err != nil {
			return nil, err
		}
		var rows []storedUser
		var next projection.Cursor
		switch {
		case in.Email == "":
			next, err = reader.List(ctx, in.filter, in.Limit, after, &rows)
		case after.IsZero():
			rows, err = withEmail(ctx, reader, owners, user.Email(in.Email))
		default:
			err = fmt.Errorf("%w: one user has no second page", projection.ErrBadCursor)
		}
		if err != nil {
			return nil, err
		}
		users, err := withRoles(ctx, reader, rows)
		if err != nil {
			return nil, err
		}
		return httpapi.NewPage(users, "/users", &in.Paging, next, "contains", string(in.Contains)), nil
	})
	httpapi.Register(api, log, huma.Operation{
		OperationID: "getUser", Method: http.MethodGet, Path: "/users/{id}", Summary: "One user and its roles", Tags: []string{"users"},
		Description: "To read what you wrote, ask for its version and how long to wait for it. As of the past, it holds its roles as they " +
			"were called when they were given.",
		Metadata: httpapi.MayAnswer(
			user.ErrNotFound, projection.ErrNotYet, projection.ErrBadRow, problems.ErrNoSuchVersion, eventsourcing.ErrLogHole,
		),
		Security: auth.Scopes("users:read"),
	}, func(ctx context.Context, in *getUser) (*httpapi.One[User], error) {
		if in.AsOf != "" {
			row, version, err := past.At(ctx, string(in.ID), in.AsOf)
			if err != nil {
				return nil, err
			}
			return httpapi.Show(in.Known, version, row.shown(string(in.ID), version, nil)), nil
		}
		var row storedUser
		found, err := reader.Await(ctx, string(in.ID), userRowName, in.MinVersion, in.Wait.Duration(), &row)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, user.ErrNotFound
		}
		users, err := withRoles(ctx, reader, []storedUser{row})
		if err != nil {
			return nil, err
		}
		return httpapi.Show(in.Known, users[0].Version, users[0]), nil
	})
}

// storedUser is a user's row as it is read.
type storedUser struct {
	projection.Key
	projection.Fence
	userRow
}

// withEmail returns the user that has the address, if any. Who holds it is known from the claims, which change with the log; a user
// whose row does not show that yet is left out.
func withEmail(ctx context.Context, reader readservice.Reader, owners Owners, email user.Email) ([]storedUser, error) {
	for _, claim := range user.Claims(user.State{Registered: true, Email: email}) {
		owner, err := owners.Owner(ctx, claim)
		if err != nil {
			return nil, err
		}
		if owner.Category != user.Category {
			continue
		}
		var row storedUser
		found, err := reader.Get(ctx, owner.ID, userRowName, &row)
		if err != nil {
			return nil, err
		}
		if found && user.Email(row.Email).Equal(email) {
			return []storedUser{row}, nil
		}
	}
	return nil, nil
}

// withRoles gives each role the name it has now, or, while its own row has not arrived, the one it was granted by.
func withRoles(ctx context.Context, reader readservice.Reader, rows []storedUser) ([]User, error) {
	var keys []projection.Key
	for _, row := range rows {
		for _, g := range row.Roles {
			keys = append(keys, projection.Key{ID: g.ID, Row: roleRowName})
		}
	}
	var stored []struct {
		projection.Key
		view.Role
	}
	if len(keys) > 0 {
		if err := reader.BatchGet(ctx, keys, &stored); err != nil {
			return nil, err
		}
	}
	now := map[string]view.Role{}
	for _, r := range stored {
		now[r.ID] = r.Role
	}
	users := make([]User, 0, len(rows))
	for _, row := range rows {
		users = append(users, row.shown(row.ID, row.Version, now))
	}
	return users, nil
}

// shown shows each role as now has it, or else as it was granted.
func (row userRow) shown(id string, version eventsourcing.Version, now map[string]view.Role) User {
	u := User{ID: id, User: row.User, Version: version, Roles: []HeldRole{}}
	for _, g := range row.Roles {
		role := HeldRole{ID: g.ID, Name: g.Name, Until: g.Until}
		if r, ok := now[g.ID]; ok {
			role.Name, role.Disabled = r.Name, r.Disabled
		}
		u.Roles = append(u.Roles, role)
	}
	return u
}
