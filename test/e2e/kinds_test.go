package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// subject is a user and a role that only one command uses, and a word in all their names.
type subject struct{ user, role, word string }

func newSubject() subject { return subject{user: newID(), role: newID(), word: letters(newID())} }

func (s subject) email() string { return s.word + "@example.com" }

// in reports whether a call of AWS concerns the subject.
func (s subject) in(body []byte) bool {
	return bytes.Contains(body, []byte(s.user)) || bytes.Contains(body, []byte(s.role)) || bytes.Contains(body, []byte(s.word))
}

// builder builds the request of a command on a subject.
type builder func(subject) systemtest.Request

// kind is a kind of command.
type kind struct {
	name    string
	of      string    // the category it changes
	given   []builder // commands to send before
	request builder
	other   builder // another command, which may not have the same key
	// again is the code of the refusal when it was carried out before. Empty: it is accepted and changes nothing.
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
	ofUser := func(operation string, body any) builder {
		return func(s subject) systemtest.Request { return put("/users/"+s.user+operation, body) }
	}
	ofRole := func(operation string) builder {
		return func(s subject) systemtest.Request { return put("/roles/"+s.role+operation, nil) }
	}
	limited := func(members int) builder {
		return func(s subject) systemtest.Request {
			return put("/roles/"+s.role+"/rules", object{"essential": false, "maxMembers": members})
		}
	}
	until := func(year int) builder {
		return func(s subject) systemtest.Request {
			return put("/users/"+s.user+"/roles/"+s.role, object{"until": fmt.Sprintf("%d-01-31T18:00:00Z", year)})
		}
	}
	users := []kind{
		{name: "register", request: register, again: "user_exists", other: func(s subject) systemtest.Request {
			return post("/users", object{"id": s.user, "email": "other." + s.email()})
		}},
		{name: "register under an id made for it", again: "email_taken", request: func(s subject) systemtest.Request {
			return post("/users", object{"email": s.email()})
		}, other: func(s subject) systemtest.Request { return post("/users", object{"email": "other." + s.email()}) }},
		{
			name: "update", given: []builder{register},
			request: update, other: ofUser("", object{"firstName": "Dan", "lastName": "O'Neill"}),
		},
		{
			name: "update to what it is", given: []builder{register, update},
			request: update, idle: true, other: ofUser("", object{"firstName": "Dan", "lastName": "O'Neill"}),
		},
		{name: "change e-mail", given: []builder{register}, request: func(s subject) systemtest.Request {
			return put("/users/"+s.user+"/email", object{"email": "new." + s.email()})
		}, other: register},
		{
			name: "disable", given: []builder{register},
			request: ofUser("/disable", nil), again: "user_disabled", other: ofUser("/enable", nil),
		},
		{
			name: "enable", given: []builder{register, ofUser("/disable", nil)},
			request: ofUser("/enable", nil), again: "user_enabled", other: ofUser("/disable", nil),
		},
		{
			name: "add role", given: []builder{create, register},
			request: grant, again: "role_already_held", other: func(s subject) systemtest.Request {
				return post("/users/"+s.user+"/roles", object{"roleId": newID()})
			},
		},
		{
			name: "add role until a time", given: []builder{create, register, limited(1)}, again: "role_already_held",
			request: func(s subject) systemtest.Request {
				return post("/users/"+s.user+"/roles", object{"roleId": s.role, "until": "2100-01-31T18:00:00Z"})
			}, other: grant,
		},
		{
			name: "change until when a role is held", given: []builder{create, register, grant}, request: until(2100), other: until(2101),
		},
		{
			name: "remove role", given: []builder{create, register, grant}, again: "role_not_held",
			request: func(s subject) systemtest.Request {
				return systemtest.Request{Method: http.MethodDelete, Path: "/users/" + s.user + "/roles/" + s.role}
			}, other: grant,
		},
	}
	roles := []kind{
		{name: "create role", request: create, again: "role_exists", other: func(s subject) systemtest.Request {
			return post("/roles", object{"id": s.role, "name": "other-" + s.word})
		}},
		{name: "rename role", given: []builder{create}, request: func(s subject) systemtest.Request {
			return put("/roles/"+s.role, object{"name": "new-" + s.word})
		}, other: create},
		{name: "disable role", given: []builder{create}, request: ofRole("/disable"), again: "role_disabled", other: ofRole("/enable")},
		{
			name: "enable role", given: []builder{create, ofRole("/disable")},
			request: ofRole("/enable"), again: "role_enabled", other: ofRole("/disable"),
		},
		{name: "set rules", given: []builder{create}, request: limited(9), other: limited(8)},
		{
			name: "cancel retirement", given: []builder{create, ofRole("/retire")},
			request: ofRole("/retire/cancel"), again: "role_not_retiring", other: ofRole("/retire/complete"),
		},
		{
			name: "complete retirement", given: []builder{create, ofRole("/retire")},
			request: ofRole("/retire/complete"), again: "role_retired", other: ofRole("/retire/cancel"),
		},
	}
	for i := range users {
		users[i].of = user.Category
	}
	for i := range roles {
		roles[i].of = role.Category
	}
	return append(users, roles...)
}

// otherWriter is another process that writes to the same log.
type otherWriter struct {
	t     *testing.T
	users *eventsourcing.Repository[user.State, user.Event]
	roles *eventsourcing.Repository[role.State, role.Event]
}

func newOtherWriter(a api) *otherWriter {
	users, err := eventsourcing.NewRepository(eventsourcing.Config[user.State, user.Event]{
		Aggregate: user.Aggregate(), Store: a.EventLog, Cache: eventsourcing.NewCache[user.State](1),
	})
	require.NoError(a.t, err)
	roles, err := eventsourcing.NewRepository(eventsourcing.Config[role.State, role.Event]{
		Aggregate: role.Aggregate(), Store: a.EventLog, Cache: eventsourcing.NewCache[role.State](1),
	})
	require.NoError(a.t, err)
	return &otherWriter{t: a.t, users: users, roles: roles}
}

// forced is a command that writes these events whatever the state is.
type forced[S, E any] []E

// Decide implements eventsourcing.Command.
func (w forced[S, E]) Decide(S) ([]E, error) { return w, nil }

// advance takes an aggregate two versions further, to the same state.
func (s *otherWriter) advance(category, id string) {
	if category == user.Category {
		isDisabled := func(s user.State) bool { return s.Disabled }
		assert.NoError(s.t, advance[user.State, user.Event](s.t.Context(), s.users, id, isDisabled, user.Disabled{}, user.Enabled{}))
		return
	}
	isDisabled := func(s role.State) bool { return s.Disabled }
	assert.NoError(s.t, advance[role.State, role.Event](s.t.Context(), s.roles, id, isDisabled, role.Disabled{}, role.Enabled{}))
}

func advance[S any, E eventsourcing.Event](
	ctx context.Context, r *eventsourcing.Repository[S, E], id string, isDisabled func(S) bool, disabled, enabled E,
) error {
	state, _, err := r.Load(ctx, id)
	if err != nil {
		return err
	}
	if isDisabled(state) {
		disabled, enabled = enabled, disabled
	}
	md := eventsourcing.Metadata{CorrelationID: newID(), CausationID: newID(), Actor: "other-writer"}
	_, err = r.Do(ctx, id, forced[S, E]{disabled, enabled}, eventsourcing.WithMetadata(md))
	return err
}
