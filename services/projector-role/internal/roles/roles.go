// Package roles provides the roles read model: for each role one row, folded from that role's events, and one row for each
// member, derived from the member's own row, which is folded from that user's events.
package roles

import (
	"maps"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/view"
)

// Names of the own rows, and what a member's row begins with: "member#" and the user's id.
const (
	roleRowName  = "role"
	userRowName  = "user"
	memberPrefix = "member#"
)

type userRow struct {
	view.User
	Roles []string `dynamodbav:"roles"`
	// Until has the roles of which the grant ends, and when.
	Until map[string]time.Time `dynamodbav:"until,omitempty"`
}

type memberRow struct {
	view.User
	UserID string     `dynamodbav:"userId"`
	Until  *time.Time `dynamodbav:"until,omitempty"` // nil: it does not end
}

// Shapes are the folds that this build knows, the newest last. One that writes other rows than the one before gets a number of its
// own, and stays beside it until no generation has the former: docs/rebuild.md.
func Shapes() []generation.Shape {
	return []generation.Shape{{Number: 1, Sources: sources()}}
}

func sources() []projection.Source {
	return []projection.Source{
		projection.NewSource(roleSpec()),
		projection.NewSource(projection.Spec[userRow, user.Event]{
			Category: user.Category, Row: userRowName, Codec: user.NewCodec(), Fold: foldUser, Rows: members,
		}),
	}
}

func roleSpec() projection.Spec[view.Role, role.Event] {
	return projection.Spec[view.Role, role.Event]{
		Category: role.Category, Row: roleRowName, Codec: role.NewCodec(), Fold: foldRole, Listed: true,
	}
}

func foldRole(row view.Role, event role.Event, _ eventsourcing.Record) view.Role {
	return row.Fold(event)
}

func foldUser(row userRow, event user.Event, _ eventsourcing.Record) userRow {
	row.User = row.Fold(event)
	grant, ok := view.GrantIn(event)
	if !ok {
		return row
	}
	id := string(grant.RoleID)
	switch held := slices.Contains(row.Roles, id); {
	case grant.Held && !held:
		row.Roles = append(row.Roles, id)
	case !grant.Held:
		row.Roles = slices.DeleteFunc(row.Roles, func(r string) bool { return r == id })
	}
	delete(row.Until, id)
	if grant.Until != nil {
		row.Until = maps.Collect(maps.All(row.Until)) // which may be nil
		row.Until[id] = *grant.Until
	} else if len(row.Until) == 0 {
		row.Until = nil // as it is without any end
	}
	return row
}

// members puts the user into the collection of each role it holds.
func members(userID string, row userRow) []projection.Row {
	out := make([]projection.Row, 0, len(row.Roles))
	for _, roleID := range row.Roles {
		out = append(out, projection.Row{
			ID: roleID, Row: memberPrefix + userID, Data: memberRow{User: row.User, UserID: userID, Until: view.Until(row.Until[roleID])},
		})
	}
	return out
}
