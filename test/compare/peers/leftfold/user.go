package main

import (
	"errors"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const category = "compare/user"

// Events.

type event interface{ eventsourcing.Event }

type registered struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

type renamed struct {
	Name string `json:"name"`
}

func (registered) EventName() string { return category + "/registered" }
func (renamed) EventName() string    { return category + "/renamed" }

// State.

type user struct {
	name, email string
	exists      bool
}

func evolve(u user, e event) user {
	u.exists = true
	switch e := e.(type) {
	case registered:
		u.name, u.email = e.Name, e.Email
	case renamed:
		u.name = e.Name
	}
	return u
}

func claims(u user) []eventsourcing.Claim {
	if u.email == "" {
		return nil
	}
	return []eventsourcing.Claim{{Category: category, Name: "email", Value: u.email}}
}

// Decisions.

// register opens a user's stream.
type register struct{ Name, Email string }

func (register) Opens() {}

func (c register) Decide(u user) ([]event, error) {
	if u.exists {
		return nil, errors.New("user exists")
	}
	return []event{registered(c)}, nil
}

// rename makes an event whatever the name was, so that a repeated decision shows.
type rename struct{ Name string }

func (c rename) Decide(user) ([]event, error) { return []event{renamed(c)}, nil }

func users(store eventsourcing.Store, cache int) (*eventsourcing.Repository[user, event], error) {
	cfg := eventsourcing.Config[user, event]{
		Aggregate: eventsourcing.Aggregate[user, event]{
			Category: category, Evolve: evolve, Claims: claims, Codec: eventsourcing.NewCodec[event](registered{}, renamed{}),
		},
		Store: store,
	}
	if cache > 0 {
		cfg.Cache = eventsourcing.NewCache[user](cache)
	}
	return eventsourcing.NewRepository(cfg)
}
