package e2e_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// subject is a user and a role of a command's own, and a word in all their names.
type subject struct{ user, role, word string }

func newSubject() subject { return subject{user: newID(), role: newID(), word: letters(newID())} }

func (s subject) email() string { return s.word + "@example.com" }

// in reports whether a call of AWS is about the subject.
func (s subject) in(body []byte) bool {
	return bytes.Contains(body, []byte(s.user)) || bytes.Contains(body, []byte(s.role)) || bytes.Contains(body, []byte(s.word))
}

type ask func(subject) systemtest.Request

// kind is a kind of command.
type kind struct {
	name  string
	of    string // the category it changes
	given []ask
	ask   ask
	other ask // which may not have the same key
	// again is why it is refused when it was carried out before. Empty: it finds all as it asks.
	again string
	// idle kinds write no event.
	idle bool
}

func kinds() []kind {
	register := func(s subject) systemtest.Request { return post("/users", object{"id": s.user, "email": s.email()}) }
	update := func(s subject) systemtest.Request {
		return put("/users/"+s.user, object{"firstName": s.word, "lastName": "O'Neill"})
	}
	create := func(s subject) systemtest.Request { return post("/roles", object{"id": s.role, "name": s.word}) }
	grant := func(s subject) systemtest.Request { return post("/users/"+s.user+"/roles", object{"roleId": s.role}) }
	ofUser := func(deed string, body any) ask {
		return func(s subject) systemtest.Request { return put("/users/"+s.user+deed, body) }
	}
	ofRole := func(deed string) ask {
		return func(s subject) systemtest.Request { return put("/roles/"+s.role+deed, nil) }
	}
	users := []kind{
		{name: "register", ask: register, again: "user_exists", other: func(s subject) systemtest.Request {
			return post("/users", object{"id": s.user, "email": "other." + s.email()})
		}},
		{name: "register under an id made for it", again: "email_taken", ask: func(s subject) systemtest.Request {
			return post("/users", object{"email": s.email()})
		}, other: func(s subject) systemtest.Request { return post("/users", object{"email": "other." + s.email()}) }},
		{name: "update", given: []ask{register}, ask: update, other: ofUser("", object{"firstName": "Dan", "lastName": "O'Neill"})},
		{name: "update to what it is", given: []ask{register, update}, ask: update, idle: true, other: ofUser("", object{"firstName": "Dan", "lastName": "O'Neill"})},
		{name: "change e-mail", given: []ask{register}, ask: func(s subject) systemtest.Request {
			return put("/users/"+s.user+"/email", object{"email": "new." + s.email()})
		}, other: register},
		{name: "disable", given: []ask{register}, ask: ofUser("/disable", nil), again: "user_disabled", other: ofUser("/enable", nil)},
		{name: "enable", given: []ask{register, ofUser("/disable", nil)}, ask: ofUser("/enable", nil), again: "user_enabled", other: ofUser("/disable", nil)},
		{name: "add role", given: []ask{create, register}, ask: grant, again: "role_already_held", other: func(s subject) systemtest.Request {
			return post("/users/"+s.user+"/roles", object{"roleId": newID()})
		}},
		{name: "remove role", given: []ask{create, register, grant}, again: "role_not_held", ask: func(s subject) systemtest.Request {
			return systemtest.Request{Method: http.MethodDelete, Path: "/users/" + s.user + "/roles/" + s.role}
		}, other: grant},
	}
	roles := []kind{
		{name: "create role", ask: create, again: "role_exists", other: func(s subject) systemtest.Request {
			return post("/roles", object{"id": s.role, "name": "other-" + s.word})
		}},
		{name: "rename role", given: []ask{create}, ask: func(s subject) systemtest.Request {
			return put("/roles/"+s.role, object{"name": "new-" + s.word})
		}, other: create},
		{name: "disable role", given: []ask{create}, ask: ofRole("/disable"), again: "role_disabled", other: ofRole("/enable")},
		{name: "enable role", given: []ask{create, ofRole("/disable")}, ask: ofRole("/enable"), again: "role_enabled", other: ofRole("/disable")},
	}
	for i := range users {
		users[i].of = user.Category
	}
	for i := range roles {
		roles[i].of = role.Category
	}
	return append(users, roles...)
}

// stranger is another process that writes to the same log.
type stranger struct {
	t     *testing.T
	users eventsourcing.Repository[user.State, user.Event]
	roles eventsourcing.Repository[role.State, role.Event]
}

func newStranger(a api) *stranger {
	return &stranger{
		t: a.t,
		users: eventsourcing.Repository[user.State, user.Event]{
			Aggregate: user.Aggregate(), Store: a.Log, NewID: newID, Now: time.Now, Cache: eventsourcing.NewCache[user.State](1),
		},
		roles: eventsourcing.Repository[role.State, role.Event]{
			Aggregate: role.Aggregate(), Store: a.Log, NewID: newID, Now: time.Now, Cache: eventsourcing.NewCache[role.State](1),
		},
	}
}

// stir takes an aggregate two versions on, to the same state.
func (s *stranger) stir(category, id string) {
	if category == user.Category {
		there, back := eventsourcing.Decision[user.State, user.Event](user.Disable{}), eventsourcing.Decision[user.State, user.Event](user.Enable{})
		assert.NoError(s.t, stir(s.t.Context(), &s.users, id, user.State.Disabled, there, back))
		return
	}
	there, back := eventsourcing.Decision[role.State, role.Event](role.Disable{}), eventsourcing.Decision[role.State, role.Event](role.Enable{})
	assert.NoError(s.t, stir(s.t.Context(), &s.roles, id, role.State.Disabled, there, back))
}

func stir[S any, E eventsourcing.Event](
	ctx context.Context, r *eventsourcing.Repository[S, E], id string, disabled func(S) bool, disable, enable eventsourcing.Decision[S, E],
) error {
	state, _, err := r.Load(ctx, id)
	if err != nil {
		return err
	}
	if disabled(state) {
		disable, enable = enable, disable
	}
	for _, d := range []eventsourcing.Decision[S, E]{disable, enable} {
		md := eventsourcing.Metadata{CorrelationID: newID(), CausationID: newID(), Actor: "stranger"}
		if _, err := r.Execute(ctx, id, eventsourcing.Just(d), md); err != nil {
			return err
		}
	}
	return nil
}
