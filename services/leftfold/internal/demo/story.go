// Package demo plays a small story through a running system and shows what each hop made of it.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

const (
	clients = 32 // that play at once
	racers  = 50 // of them that want one e-mail address
	perUser = 8  // commands of one user's part of the story
)

// story is what is played: roles, users with their names, grants and changes, refusals that are due, and a race.
type story struct {
	base   string
	client *http.Client
	users  int
	pace   *rate.Limiter
	// edition tells the story's unique values from those of another time. It consists of letters.
	edition string

	accepted, refused, winners, done atomic.Int64
	cast                             sync.Map // the ids of its users and roles
}

// command is one request and what is to come of it.
type command struct {
	method, path string
	body         map[string]string
	refused      string // the code of the refusal that is due, "" if it is to be accepted
}

// commands is how many commands the story has.
func (s *story) commands() int64 { return int64(len(roleNames())*2 + s.users*perUser + racers) }

func roleNames() []string {
	return []string{"reader", "writer", "editor", "auditor", "operator", "billing", "support", "release", "security", "owner"}
}

func (s *story) play(ctx context.Context) error {
	roles, err := s.createRoles(ctx)
	if err != nil {
		return err
	}
	if err := s.eachUser(ctx, func(ctx context.Context, i int) error { return s.send(ctx, s.userCommands(i, roles)...) }); err != nil {
		return err
	}
	for i, name := range roleNames() {
		rename := command{method: http.MethodPut, path: "/roles/" + roles[i], body: map[string]string{"name": "chief-" + s.unique(name)}}
		if err := s.send(ctx, rename); err != nil {
			return err
		}
	}
	return s.race(ctx)
}

// seed sends the story's commands that are accepted, without the renamings and the race.
func (s *story) seed(ctx context.Context) error {
	roles, err := s.createRoles(ctx)
	if err != nil {
		return err
	}
	return s.eachUser(ctx, func(ctx context.Context, i int) error {
		due := func(c command) bool { return c.refused != "" }
		return s.send(ctx, slices.DeleteFunc(s.userCommands(i, roles), due)...)
	})
}

func (s *story) createRoles(ctx context.Context) (ids []string, err error) {
	for _, name := range roleNames() {
		id := s.newID()
		ids = append(ids, id)
		create := command{method: http.MethodPost, path: "/roles", body: map[string]string{"id": id, "name": s.unique(name)}}
		if err := s.send(ctx, create); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// eachUser calls f with the number of each user, by clients at once.
func (s *story) eachUser(ctx context.Context, f func(context.Context, int) error) error {
	group, playing := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for i := range s.users {
		if playing.Err() != nil {
			break
		}
		group.Go(func() error { return f(playing, i) })
	}
	return group.Wait()
}

// unique returns a role's name in this edition.
func (s *story) unique(name string) string {
	if s.edition == "" {
		return name
	}
	return name + "-" + s.edition
}

// email returns an address in this edition.
func (s *story) email(local string) string {
	if s.edition == "" {
		return local + "@example.com"
	}
	return local + "@" + s.edition + ".example.com"
}

// userCommands is one user's life, refusals included.
func (s *story) userCommands(i int, roles []string) []command {
	id := s.newID()
	path := "/users/" + id
	email := s.email(fmt.Sprintf("user%d", i))
	name := map[string]string{"firstName": firstNames()[i%7], "lastName": lastNames()[i%11]}
	role, other := roles[i%len(roles)], roles[(i+3)%len(roles)]
	commands := []command{
		{method: http.MethodPost, path: "/users", body: map[string]string{"id": id, "email": email}},
		{method: http.MethodPut, path: path, body: name},
		{method: http.MethodPost, path: path + "/roles", body: map[string]string{"roleId": role}},
		{method: http.MethodPost, path: path + "/roles", body: map[string]string{"roleId": other}},
		{method: http.MethodPost, path: path + "/roles", body: map[string]string{"roleId": role}, refused: "role_already_held"},
		{method: http.MethodPost, path: "/users", body: map[string]string{"email": email}, refused: "email_taken"},
	}
	disable := command{method: http.MethodPut, path: path + "/disable"}
	switch i % 3 {
	case 0:
		return append(commands,
			command{method: http.MethodDelete, path: path + "/roles/" + other},
			command{method: http.MethodPut, path: path + "/email", body: map[string]string{"email": s.email(fmt.Sprintf("new-user%d", i))}})
	case 1:
		return append(commands, disable, command{method: http.MethodPut, path: path + "/disable", refused: "user_disabled"})
	default:
		return append(commands, disable, command{method: http.MethodPut, path: path + "/enable"})
	}
}

func firstNames() []string {
	return []string{"Ann", "Bao", "Chloé", "Dmitri", "Emeka", "Fátima", "Yūki"}
}

func lastNames() []string {
	return []string{"O'Neill", "Nguyễn", "Müller", "Ivanov", "Okafor", "Haddad", "Tanaka", "Silva", "Smith", "Kowalska", "Lee"}
}

// race lets many clients register one address at once. Exactly one may get it.
func (s *story) race(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range racers {
		group.Go(func() error {
			c := command{method: http.MethodPost, path: "/users", body: map[string]string{"id": s.newID(), "email": s.email("the.one")}}
			code, err := s.answer(ctx, c)
			switch {
			case err != nil:
				return err
			case code == "":
				s.winners.Add(1)
				s.accepted.Add(1)
			case code == "email_taken":
				s.refused.Add(1)
			default:
				return fmt.Errorf("race for an address: answer %s", code)
			}
			return nil
		})
	}
	return group.Wait()
}

// send sends one command after the other, until one has not come out as it should.
func (s *story) send(ctx context.Context, commands ...command) error {
	for _, c := range commands {
		code, err := s.answer(ctx, c)
		if err != nil {
			return err
		}
		if code != c.refused {
			return fmt.Errorf("%s %s: answer %s, want %s", c.method, c.path, cmp.Or(code, "accepted"), cmp.Or(c.refused, "accepted"))
		}
		if code == "" {
			s.accepted.Add(1)
		} else {
			s.refused.Add(1)
		}
	}
	return nil
}

// answer sends a command and returns the code of its refusal, "" if it was accepted.
func (s *story) answer(ctx context.Context, c command) (code string, err error) {
	if err := s.pace.Wait(ctx); err != nil {
		return "", err
	}
	defer s.done.Add(1)
	var text bytes.Buffer
	if c.body != nil {
		if err := json.NewEncoder(&text).Encode(c.body); err != nil {
			return "", err
		}
	}
	req, err := http.NewRequestWithContext(ctx, c.method, s.base+c.path, &text)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(keyHeader, uuid.NewString())
	res, err := s.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return "", fmt.Errorf("decode the answer to %s %s, %s: %w", c.method, c.path, res.Status, err)
	}
	if answer.Code == "unauthenticated" {
		return "", errors.New("the system wants a token: set DEMO_TOKEN to one with the scopes to read and write users and roles, and audit:read")
	}
	if res.StatusCode != http.StatusAccepted && answer.Code == "" {
		return "", fmt.Errorf("%s %s: answer %s", c.method, c.path, res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body) // so that the connection is used again
	return answer.Code, err
}

func (s *story) has(id string) bool {
	_, ok := s.cast.Load(id)
	return ok
}

// newID is that of one more user or role of the story.
func (s *story) newID() string {
	id := uuid.Must(uuid.NewV7()).String()
	s.cast.Store(id, true)
	return id
}
