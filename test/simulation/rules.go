package simulation

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	iamview "github.com/leftfold/leftfold/pkg/iam/view"
)

// picture is what all users and roles are at one moment of the log.
type picture struct {
	users map[string]user.State
	roles map[string]role.State
}

func newPicture() picture {
	return picture{users: map[string]user.State{}, roles: map[string]role.State{}}
}

func (p picture) clone() picture {
	return picture{users: maps.Clone(p.users), roles: maps.Clone(p.roles)}
}

// members counts who holds a role, and how many of them are enabled and hold it without an end. It knows nothing of scopes.
func (p picture) members(roleID string) (seats, holders int64) {
	for _, u := range p.users {
		for _, g := range u.Roles {
			if string(g.RoleID) != roleID {
				continue
			}
			if seats++; g.Until.IsZero() && !u.Disabled {
				holders++
			}
		}
	}
	return seats, holders
}

func (p picture) claims(s eventsourcing.StreamID) []eventsourcing.Claim {
	if s.Category == role.Category {
		return role.Claims(p.roles[s.ID])
	}
	return user.Claims(p.users[s.ID])
}

// apply folds the next event and checks what holds of it alone. It reports whether the event is known.
func (p picture) apply(j *judgement, rec eventsourcing.Record) bool {
	id := rec.Stream.ID
	if rec.Stream.Category == role.Category {
		event, err := role.NewCodec().Decode(rec.Name, rec.Schema, rec.Data)
		if err == nil {
			p.roles[id] = role.Evolve(p.roles[id], event)
		}
		return err == nil
	}
	event, err := user.NewCodec().Decode(rec.Name, rec.Schema, rec.Data)
	if err != nil {
		return false
	}
	held := grantOf(p.users[id], event)
	p.users[id] = user.Evolve(p.users[id], event)
	if g, ok := iamview.GrantIn(event); ok && g.Held && held == nil {
		if r := p.roles[string(g.RoleID)]; !r.Exists || r.Disabled || r.Retiring || r.Retired {
			j.breach("§3 guard", rec.Stream.String(), "version %d of %s grants a role that cannot be granted then: %+v", rec.Version, rec.Stream, r)
		}
	}
	if e, ok := event.(user.RoleExpired); ok && (held == nil || !held.Until.Equal(e.Until) || rec.RecordedAt.Before(e.Until)) {
		j.breach("rules", rec.Stream.String(), "version %d of %s ends %+v at %v: %+v", rec.Version, rec.Stream, held, rec.RecordedAt, e)
	}
	return true
}

// grantOf returns what the user holds of the role that an event is about, or nil.
func grantOf(u user.State, event user.Event) *user.Grant {
	about, _ := iamview.GrantIn(event)
	for i, g := range u.Roles {
		if g.RoleID == about.RoleID {
			return &u.Roles[i]
		}
	}
	return nil
}

// rules checks that a commit breaks no rule of a role: one that is essential keeps a holder, one with a limit gets no member above it,
// and one that is retired has none.
func (j *judgement) rules(was, is picture, made commit) {
	for id, r := range is.roles {
		before := was.roles[id]
		hadSeats, hadHolders := was.members(id)
		seats, holders := is.members(id)
		stream := eventsourcing.StreamID{Category: role.Category, ID: id}.String()
		breach := func(what string) {
			j.breach("rules", stream, "%s: %s has %d members, %d of them holders, after %v; before, %d and %d: %+v",
				what, stream, seats, holders, made.events, hadSeats, hadHolders, r)
		}
		if lost := hadHolders > 0; holders == 0 && r.Rules.Essential && (lost || before.Exists && !before.Rules.Essential) {
			breach("no holder is left of an essential role")
		}
		if limit := r.Rules.MaxMembers; limit > 0 && seats > limit && (seats > hadSeats || limit != before.Rules.MaxMembers) {
			breach("more members than the limit")
		}
		if r.Retired && seats > 0 {
			breach("members of a retired role")
		}
	}
}

// refusals are commands that were refused for what all members of a role are, and whether that was ever so while they were under way.
type refusals map[*command]bool

// because returns what a refusal says of the picture, by its code.
var because = map[string]func(picture, *command) bool{ // read only
	user.ErrLastHolder.Code: func(p picture, c *command) bool {
		return slices.ContainsFunc(p.users[c.stream.ID].Roles, func(g user.Grant) bool {
			_, holders := p.members(string(g.RoleID))
			return holders == 1 && p.roles[string(g.RoleID)].Rules.Essential && g.Until.IsZero() && !p.users[c.stream.ID].Disabled &&
				(c.grant.role == "" || c.grant.role == string(g.RoleID))
		})
	},
	user.ErrNoSeatLeft.Code: func(p picture, c *command) bool {
		seats, _ := p.members(c.grant.role)
		limit := p.roles[c.grant.role].Rules.MaxMembers
		return limit > 0 && seats >= limit
	},
	role.ErrNoHolder.Code: func(p picture, c *command) bool {
		_, holders := p.members(c.stream.ID)
		return holders == 0
	},
	role.ErrTooManyMembers.Code: func(p picture, c *command) bool {
		seats, _ := p.members(c.stream.ID)
		limit, _ := c.body["maxMembers"].(int64)
		return seats > limit
	},
	role.ErrMembersLeft.Code: func(p picture, c *command) bool {
		seats, _ := p.members(c.stream.ID)
		return seats > 0
	},
}

func (j *judgement) refusals() refusals {
	out := refusals{}
	for _, c := range j.ledger.commands {
		if because[c.code] != nil && c.status == http.StatusConflict {
			out[c] = false
		}
	}
	return out
}

// hold notes whose reason the picture is, which was so from one time to another.
func (r refusals) hold(p picture, from, to time.Time) {
	for c, found := range r {
		if !found && !c.sentAt.After(to) && !c.endedAt.Before(from) && because[c.code](p, c) {
			r[c] = true
		}
	}
}

// judge finds the refusals without a reason.
func (r refusals) judge(j *judgement) {
	for c, found := range r {
		if !found {
			j.breach("rules", c.stream.String(), "%s was refused, which was right at no moment", c)
		}
	}
}
