package simulation

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// request is what a client asks for.
type request struct {
	stream eventsourcing.StreamID
	method string
	path   string
	body   map[string]any
	// grant is the grant that it is about, if any.
	grant grant
	// is reports whether a user or role already is as it demands, so that it writes nothing. nil: it always writes.
	is func(user.State, role.State) bool
}

// grant is a role of a user.
type grant struct{ user, role string }

func (g grant) path() string { return "/users/" + g.user + "/roles/" + g.role }

// kind is a kind of request, and how often it is sent, beside the others: usually, where all clients share one role, and where they
// share one that has rules.
type kind struct {
	make              func(*client) request
	usual, hot, ruled int
}

// kinds are all of them. Where all share one role there are more conflicts: it is disabled, enabled and given rules while it is granted.
var kinds = []kind{ // read only
	{(*client).register, 20, 5, 2},
	{(*client).update, 16, 7, 0},
	{(*client).changeEmail, 11, 8, 0},
	{(*client).disableUser, 5, 4, 12},
	{(*client).enableUser, 7, 7, 25},
	{(*client).addRole, 10, 28, 25},
	{(*client).addRoleUntil, 16, 8, 8},
	{(*client).changeUntil, 6, 8, 12},
	{(*client).expire, 3, 6, 3},
	{(*client).removeRole, 6, 12, 14},
	{(*client).createRole, 8, 2, 1},
	{(*client).rename, 4, 3, 0},
	{(*client).setRules, 6, 6, 12},
	{ofRole("disable"), 3, 11, 1},
	{ofRole("enable"), 3, 11, 4},
	{ofRole("retire"), 3, 1, 1},
	{ofRole("retire/cancel"), 1, 4, 6},
	{ofRole("retire/complete"), 1, 1, 1},
}

// draw returns a request of one of the kinds.
func (c *client) draw() request {
	weight := func(k kind) int {
		switch {
		case c.plan.Ruled:
			return k.ruled
		case c.plan.Hot:
			return k.hot
		default:
			return k.usual
		}
	}
	total := 0
	for _, k := range kinds {
		total += weight(k)
	}
	n := c.random.IntN(total)
	for _, k := range kinds {
		if n -= weight(k); n < 0 {
			return k.make(c)
		}
	}
	panic("no kind") // the weights add up to the total
}

func (c *client) userID() string { return clientID(uint64(c.random.IntN(c.people())), "user") }

// roleID draws a role. In the place of one that is retired comes another.
func (c *client) roleID() string {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	for n := c.random.IntN(c.groups()); ; n += c.groups() {
		if id := clientID(uint64(n), "role"); !c.ledger.retired[id] {
			return id
		}
	}
}

func (c *client) email() string { return fmt.Sprintf("mail%d@example.com", c.random.IntN(c.people())) }

func (c *client) roleName() string {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	return fmt.Sprintf("role-%c%s", 'a'+rune(c.random.IntN(c.groups()+1)), strings.Repeat("x", len(c.ledger.retired))) // theirs are kept
}

func forUser(id, method, path string, body map[string]any) request {
	return request{
		stream: eventsourcing.StreamID{Category: user.Category, ID: id}, method: method, path: path, body: body,
	}
}

func forRole(id, method, path string, body map[string]any) request {
	return request{
		stream: eventsourcing.StreamID{Category: role.Category, ID: id}, method: method, path: path, body: body,
	}
}

func (c *client) register() request {
	id := c.userID()
	return forUser(id, http.MethodPost, "/users", map[string]any{"id": id, "email": c.email()})
}

func (c *client) update() request {
	id, first, last := c.userID(), c.word(), c.word()
	r := forUser(id, http.MethodPut, "/users/"+id, map[string]any{"firstName": first, "lastName": last})
	r.is = func(u user.State, _ role.State) bool {
		return string(u.FirstName) == first && string(u.LastName) == last
	}
	return r
}

func (c *client) changeEmail() request {
	id, email := c.userID(), c.email()
	r := forUser(id, http.MethodPut, "/users/"+id+"/email", map[string]any{"email": email})
	r.is = func(u user.State, _ role.State) bool { return string(u.Email) == email }
	return r
}

func (c *client) disableUser() request {
	id := c.userID()
	return forUser(id, http.MethodPut, "/users/"+id+"/disable", nil)
}

func (c *client) enableUser() request {
	id := c.userID()
	return forUser(id, http.MethodPut, "/users/"+id+"/enable", nil)
}

func (c *client) aGrant() grant { return grant{c.userID(), c.roleID()} }

func (c *client) addRole() request {
	g := c.aGrant()
	r := forUser(g.user, http.MethodPost, "/users/"+g.user+"/roles", map[string]any{"roleId": g.role})
	r.grant = g
	return r
}

func (c *client) addRoleUntil() request {
	r := c.addRole()
	r.body["until"] = c.end(r.grant)
	return r
}

// end draws when a grant is to end: mostly soon, sometimes in the past.
func (c *client) end(g grant) time.Time {
	until := time.Now().UTC().Truncate(time.Millisecond).Add(time.Duration(c.random.IntN(20_000)-1_000) * time.Millisecond)
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	c.ledger.ends[g.path()] = until
	return until
}

// changeUntil lets a grant end at another time, or never.
func (c *client) changeUntil() request {
	g := c.aGrant()
	var until *time.Time
	if c.random.IntN(3) > 0 {
		until = new(c.end(g))
	}
	r := forUser(g.user, http.MethodPut, g.path(), map[string]any{"until": until})
	r.grant = g
	r.is = func(u user.State, _ role.State) bool {
		for _, held := range u.Roles {
			if string(held.RoleID) == g.role {
				return until == nil && held.Until.IsZero() || until != nil && held.Until.Equal(*until)
			}
		}
		return false
	}
	return r
}

// expire asks for the end of a grant whose time may be over, as the process does that waits for it.
func (c *client) expire() request {
	g := c.aGrant()
	c.ledger.mu.Lock()
	until, known := c.ledger.ends[g.path()]
	c.ledger.mu.Unlock()
	if !known {
		until = time.Now().UTC().Truncate(time.Millisecond)
	}
	r := forUser(g.user, http.MethodPut, g.path()+"/expire", map[string]any{"until": until})
	r.grant = g
	return r
}

func (c *client) removeRole() request {
	g := c.aGrant()
	r := forUser(g.user, http.MethodDelete, g.path(), nil)
	r.grant = g
	return r
}

func (c *client) createRole() request {
	id := c.roleID()
	body := map[string]any{"id": id, "name": c.roleName()}
	if rules := c.rules(); c.random.IntN(3) == 0 {
		body["essential"], body["maxMembers"] = rules.Essential, rules.MaxMembers
	}
	return forRole(id, http.MethodPost, "/roles", body)
}

func (c *client) rename() request {
	id, name := c.roleID(), c.roleName()
	r := forRole(id, http.MethodPut, "/roles/"+id, map[string]any{"name": name})
	r.is = func(_ user.State, is role.State) bool { return string(is.Name) == name }
	return r
}

// rules draws rules that are often broken.
func (c *client) rules() role.Rules {
	return role.Rules{Essential: c.random.IntN(2) == 0, MaxMembers: max(0, int64(c.random.IntN(6))-2)}
}

func (c *client) setRules() request {
	id, rules := c.roleID(), c.rules()
	r := forRole(id, http.MethodPut, "/roles/"+id+"/rules", map[string]any{"essential": rules.Essential, "maxMembers": rules.MaxMembers})
	r.is = func(_ user.State, is role.State) bool { return is.Rules == rules }
	return r
}

// ofRole returns what makes a request about a role that has no body.
func ofRole(what string) func(*client) request {
	return func(c *client) request {
		id := c.roleID()
		return forRole(id, http.MethodPut, "/roles/"+id+"/"+what, nil)
	}
}
