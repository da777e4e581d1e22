// Package users provides the users read model: a row per user, folded from that user's events, and a row per role with its
// current name, folded from that role's.
package users

import (
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/view"
)

// Names of the own rows.
const (
	userRowName = "user"
	roleRowName = "role"
)

type userRow struct {
	view.User
	Roles []granted `dynamodbav:"roles"`
}

// granted is a role as it was called when it was granted. What it is called now stands in the role's own row, which
// only that role's events write, and which may arrive later.
type granted struct {
	ID    string     `dynamodbav:"id"`
	Name  string     `dynamodbav:"name"`
	Until *time.Time `dynamodbav:"until,omitempty"` // nil: it does not end
}

// Shapes are the folds that this build knows, the newest last. One that writes other rows than the one before gets a number of its
// own, and stays beside it until no generation has the former: docs/rebuild.md.
func Shapes() []generation.Shape {
	return []generation.Shape{{Number: 1, Sources: sources()}}
}

func sources() []projection.Source {
	return []projection.Source{
		projection.NewSource(userSpec()),
		projection.NewSource(projection.Spec[view.Role, role.Event]{
			Category: role.Category, Row: roleRowName, Codec: role.NewCodec(), Fold: foldRole,
		}),
	}
}

func userSpec() projection.Spec[userRow, user.Event] {
	return projection.Spec[userRow, user.Event]{
		Category: user.Category, Row: userRowName, Codec: user.NewCodec(), Fold: foldUser, Listed: true,
	}
}

func foldUser(row userRow, event user.Event, rec eventsourcing.Record) userRow {
	row.User = row.Fold(event)
	grant, ok := view.GrantIn(event)
	if !ok {
		return row
	}
	i := slices.IndexFunc(row.Roles, func(g granted) bool { return g.ID == string(grant.RoleID) })
	switch {
	case grant.Held && i < 0:
		reference, _ := role.ReferenceIn(rec.Enrichment, role.ID(grant.RoleID))
		row.Roles = append(row.Roles, granted{ID: string(grant.RoleID), Name: string(reference.Name), Until: grant.Until})
	case grant.Held:
		row.Roles[i].Until = grant.Until
	case i >= 0:
		row.Roles = slices.Delete(row.Roles, i, i+1)
	}
	return row
}

func foldRole(row view.Role, event role.Event, _ eventsourcing.Record) view.Role {
	return row.Fold(event)
}
