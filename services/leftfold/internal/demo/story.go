// Package demo plays a small story through a running system and shows what each hop made of it.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
)

// clients is how many clients play at once.
const clients = 32

// racers is how many of them want one e-mail address.
const racers = 50

// story is what is played: roles, users with their names, grants and changes, refusals that are due, and a race.
type story struct {
	base   string
	client *http.Client
	users  int
	pace   *pace

	accepted, refused atomic.Int64
	winners           atomic.Int64
	done              atomic.Int64
}

// commands is how many commands the story has.
func (s *story) commands() int64 { return int64(len(roleNames())*2 + s.users*perUser + racers) }

func roleNames() []string {
	return []string{"reader", "writer", "editor", "auditor", "operator", "billing", "support", "release", "security", "owner"}
}

// perUser is the commands of one user's part of the story.
const perUser = 8

func (s *story) play(ctx context.Context) error {
	roles, err := s.createRoles(ctx)
	if err != nil {
		return err
	}
	group, playing := errgroup.WithContext(ctx)
	group.SetLimit(clients)
	for i := range s.users {
		group.Go(func() error { return s.playUser(playing, i, roles) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := s.renameRoles(ctx, roles); err != nil {
		return err
	}
	return s.race(ctx)
}

func (s *story) createRoles(ctx context.Context) (ids []string, err error) {
	for _, name := range roleNames() {
		id := newID()
		if err := s.accept(ctx, http.MethodPost, "/roles", map[string]string{"id": id, "name": name}); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (s *story) renameRoles(ctx context.Context, ids []string) error {
	for i, name := range roleNames() {
		if err := s.accept(ctx, http.MethodPut, "/roles/"+ids[i], map[string]string{"name": "chief-" + name}); err != nil {
			return err
		}
	}
	return nil
}

// playUser is one user's life, refusals included.
func (s *story) playUser(ctx context.Context, i int, roles []string) error {
	id := newID()
	path := "/users/" + id
	email := fmt.Sprintf("user%d@example.com", i)
	role, other := roles[i%len(roles)], roles[(i+3)%len(roles)]
	steps := []func() error{
		func() error {
			return s.accept(ctx, http.MethodPost, "/users", map[string]string{"id": id, "email": email})
		},
		func() error {
			return s.accept(ctx, http.MethodPut, path, map[string]string{"firstName": firstNames()[i%7], "lastName": lastNames()[i%11]})
		},
		func() error { return s.accept(ctx, http.MethodPost, path+"/roles", map[string]string{"roleId": role}) },
		func() error { return s.accept(ctx, http.MethodPost, path+"/roles", map[string]string{"roleId": other}) },
		func() error {
			return s.refuse(ctx, http.MethodPost, path+"/roles", map[string]string{"roleId": role}, "role_already_held")
		},
		func() error {
			return s.refuse(ctx, http.MethodPost, "/users", map[string]string{"email": email}, "email_taken")
		},
	}
	switch i % 3 {
	case 0:
		steps = append(steps,
			func() error { return s.accept(ctx, http.MethodDelete, path+"/roles/"+other, nil) },
			func() error {
				return s.accept(ctx, http.MethodPut, path+"/email", map[string]string{"email": "new-" + email})
			})
	case 1:
		steps = append(steps,
			func() error { return s.accept(ctx, http.MethodPut, path+"/disable", nil) },
			func() error { return s.refuse(ctx, http.MethodPut, path+"/disable", nil, "user_disabled") })
	default:
		steps = append(steps,
			func() error { return s.accept(ctx, http.MethodPut, path+"/disable", nil) },
			func() error { return s.accept(ctx, http.MethodPut, path+"/enable", nil) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
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
			status, code, err := s.send(ctx, http.MethodPost, "/users", map[string]string{"email": "the.one@example.com"})
			switch {
			case err != nil:
				return err
			case status == http.StatusAccepted:
				s.winners.Add(1)
				s.accepted.Add(1)
			case code == "email_taken":
				s.refused.Add(1)
			default:
				return fmt.Errorf("race for an address: answer %d %s", status, code)
			}
			return nil
		})
	}
	return group.Wait()
}

func (s *story) accept(ctx context.Context, method, path string, body any) error {
	status, code, err := s.send(ctx, method, path, body)
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("%s %s: answer %d %s, want 202", method, path, status, code)
	}
	s.accepted.Add(1)
	return err
}

func (s *story) refuse(ctx context.Context, method, path string, body any, want string) error {
	status, code, err := s.send(ctx, method, path, body)
	if err == nil && code != want {
		err = fmt.Errorf("%s %s: answer %d %s, want %s", method, path, status, code, want)
	}
	s.refused.Add(1)
	return err
}

func (s *story) send(ctx context.Context, method, path string, body any) (status int, code string, err error) {
	if err := s.pace.wait(ctx); err != nil {
		return 0, "", err
	}
	defer s.done.Add(1)
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return 0, "", err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, &text)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	var answer struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return res.StatusCode, "", fmt.Errorf("decode the answer to %s %s: %w", method, path, err)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, answer.Code, err
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// pace spaces commands evenly. The zero rate is as fast as it goes.
type pace struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
	now   func() time.Time
}

func newPace(rate float64, now func() time.Time) *pace {
	p := &pace{now: now}
	if rate > 0 {
		p.every = time.Duration(float64(time.Second) / rate)
	}
	return p
}

func (p *pace) wait(ctx context.Context) error {
	if p.every == 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	now := p.now()
	if p.next.Before(now) {
		p.next = now
	}
	pause := p.next.Sub(now)
	p.next = p.next.Add(p.every)
	p.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
