// Package oracle compares what the API of a running system shows with its event log: it folds the log, waits until the read
// models have applied every event, reads everything through the API and returns the differences.
package oracle

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/iam/view"
)

// EventLog yields every record, in any order.
type EventLog interface {
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// Fold is the state of every user and role, and what every aggregate holds, folded from the log by the domain's own rules.
type Fold struct {
	Users  map[string]user.State
	Roles  map[string]role.State
	Heads  map[eventsourcing.StreamID]eventsourcing.Version
	Owners map[string]eventsourcing.StreamID // of unique values, by the claim's key
	Scopes eventsourcing.Sums
	Events int
	// Records are the events, those of a stream in order.
	Records []eventsourcing.Record
	// Faults are breaches in the log itself: a gap, a repeated event, a unique value held twice.
	Faults []string
}

// FoldLog reads the whole log.
func FoldLog(ctx context.Context, log EventLog) (*Fold, error) {
	streams := map[eventsourcing.StreamID][]eventsourcing.Record{}
	for rec, err := range log.All(ctx, 4) {
		if err != nil {
			return nil, err
		}
		streams[rec.Stream] = append(streams[rec.Stream], rec)
	}
	f := &Fold{
		Users: map[string]user.State{}, Roles: map[string]role.State{},
		Heads: map[eventsourcing.StreamID]eventsourcing.Version{}, Owners: map[string]eventsourcing.StreamID{},
		Scopes: eventsourcing.Sums{},
	}
	known := map[string]aggregates.Aggregate{}
	for _, a := range aggregates.Streams() {
		known[a.Category] = a
	}
	for stream, records := range streams {
		slices.SortFunc(records, func(a, b eventsourcing.Record) int { return cmp.Compare(a.Version, b.Version) })
		f.Events += len(records)
		f.Heads[stream] = records[len(records)-1].Version
		f.checkStream(stream, records)
		aggregate, ok := known[stream.Category]
		if !ok {
			return nil, fmt.Errorf("stream %s: unknown category", stream)
		}
		claims, err := aggregate.Claims(records)
		if err != nil {
			return nil, err
		}
		f.checkClaims(stream, claims)
		shares, err := aggregate.Shares(stream, records)
		if err != nil {
			return nil, err
		}
		f.Scopes.Add(shares, 1)
		if !aggregate.Process { // of which the read models and the trail show nothing
			f.Records = append(f.Records, records...)
		}
		switch stream.Category {
		case user.Category:
			f.Users[stream.ID], err = aggregates.Fold(user.Aggregate(), records)
		case role.Category:
			f.Roles[stream.ID], err = aggregates.Fold(role.Aggregate(), records)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(f.Faults)
	return f, nil
}

func (f *Fold) checkStream(stream eventsourcing.StreamID, records []eventsourcing.Record) {
	ids := map[string]bool{}
	for i, rec := range records {
		if want := eventsourcing.Version(i) + 1; rec.Version != want {
			f.Faults = append(f.Faults, fmt.Sprintf("stream %s: version %d is where %d belongs", stream, rec.Version, want))
			return
		}
		if ids[rec.ID] {
			f.Faults = append(f.Faults, fmt.Sprintf("stream %s: event %s is in the log twice", stream, rec.ID))
		}
		ids[rec.ID] = true
	}
}

func (f *Fold) checkClaims(stream eventsourcing.StreamID, claims []eventsourcing.Claim) {
	for _, c := range claims {
		if other, taken := f.Owners[c.Key()]; taken {
			f.Faults = append(f.Faults, fmt.Sprintf("%s: held by both %s and %s", c.Constraint(), other.ID, stream.ID))
		}
		f.Owners[c.Key()] = stream
	}
}

// Uncounted compares the scopes of the log with those stored and returns the differences.
func (f *Fold) Uncounted(ctx context.Context, stored *dynamostore.Scopes) (differences []string, err error) {
	wanted := maps.Clone(f.Scopes)
	for page, err := range stored.Rows(ctx) {
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			scope, _ := eventsourcing.ParseScope(row.Key)
			if row.Err != nil || !maps.Equal(row.State.Counters, wanted[scope]) {
				differences = append(differences, fmt.Sprintf("scope %s is %v, by the log %v", row.Key, row.State.Counters, wanted[scope]))
			}
			delete(wanted, scope)
		}
	}
	for scope, counters := range wanted {
		differences = append(differences, fmt.Sprintf("scope %s is not stored, by the log %v", scope.Key(), counters))
	}
	slices.Sort(differences)
	return differences, nil
}

// Model is a read model and the categories that feed it.
type Model struct {
	projection.Reader

	Categories []string
}

// Models returns all read models, each with the table that is read at this time: a rebuild moves reads to another one.
func Models(ctx context.Context, db projection.DynamoDBAPI, names topology.Names) (all []Model, err error) {
	for _, p := range names.Projections() {
		state, err := generation.Control{DB: db, Table: names.Generations, Projection: p.Name}.Read(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, Model{projection.Reader{DB: db, Table: state.Current.Name(p.Table)}, p.Categories})
	}
	return all, nil
}

// Settle waits until the read models have applied every stream up to its head. It gives up once a model has applied nothing for as
// long as patience: how long all of it takes depends on the machine.
func (f *Fold) Settle(ctx context.Context, patience time.Duration, models ...Model) error {
	for _, model := range models {
		if err := f.settle(ctx, patience, model); err != nil {
			return fmt.Errorf("wait for %s: %w", model.Table, err)
		}
	}
	return nil
}

func (f *Fold) settle(ctx context.Context, patience time.Duration, model Model) error {
	behind := f.heads(model)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	givenUp := time.NewTimer(patience)
	defer givenUp.Stop()
	var applied eventsourcing.Version
	for {
		rows, err := model.fences(ctx, behind)
		if err != nil {
			return err
		}
		was := applied
		applied = 0
		for _, row := range rows {
			applied += row.Version
		}
		if applied != was {
			givenUp.Reset(patience)
		}
		for _, row := range rows {
			if row.Version >= behind[row.Key] {
				applied -= row.Version
				delete(behind, row.Key)
			}
		}
		if len(behind) == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-givenUp.C:
			return fmt.Errorf("nothing was applied for %s, and %d rows are behind the log: %v", patience, len(behind), some(behind))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Shown returns how many events the rows of a read model show of the fold's streams, and how many they are to show.
func (f *Fold) Shown(ctx context.Context, model Model) (shown, all eventsourcing.Version, err error) {
	heads := f.heads(model)
	rows, err := model.fences(ctx, heads)
	for _, row := range rows {
		shown += min(row.Version, heads[row.Key]) // it may be ahead of the fold
	}
	for _, head := range heads {
		all += head
	}
	return shown, all, err
}

// heads are those of the streams that the model shows, by their rows.
func (f *Fold) heads(model Model) map[projection.Key]eventsourcing.Version {
	heads := map[projection.Key]eventsourcing.Version{}
	for stream, head := range f.Heads {
		if slices.Contains(model.Categories, stream.Category) {
			heads[projection.Key{ID: stream.ID, Row: strings.TrimPrefix(stream.Category, "org/iam/")}] = head
		}
	}
	return heads
}

// fence is a row with the version that it shows.
type fence struct {
	projection.Key
	projection.Fence
}

// fences are those of the rows that there are.
func (m Model) fences(ctx context.Context, rows map[projection.Key]eventsourcing.Version) (found []fence, err error) {
	err = m.BatchGet(ctx, slices.Collect(maps.Keys(rows)), &found)
	return found, err
}

// lookEvery is the pause between looks: each costs read units.
const lookEvery = 25 * time.Millisecond

// some returns a few rows with the versions that they should have.
func some(behind map[projection.Key]eventsourcing.Version) (texts []string) {
	for key, head := range behind {
		if len(texts) < 3 {
			texts = append(texts, fmt.Sprintf("%s %s at %d", key.Row, key.ID, head))
		}
	}
	return texts
}

// Shown is everything that the API shows, in a form that compares.
type Shown struct {
	Users   map[string]User
	Roles   map[string]Role
	Members map[string][]Member // by role, ordered by user
}

func newShown() Shown {
	return Shown{Users: map[string]User{}, Roles: map[string]Role{}, Members: map[string][]Member{}}
}

// Keep removes the users and roles whose id does not satisfy keep.
func (s Shown) Keep(keep func(id string) bool) {
	maps.DeleteFunc(s.Users, func(id string, _ User) bool { return !keep(id) })
	maps.DeleteFunc(s.Roles, func(id string, _ Role) bool { return !keep(id) })
	maps.DeleteFunc(s.Members, func(id string, _ []Member) bool { return !keep(id) })
}

// User is a user as the API shows it.
type User struct {
	Member
	Version eventsourcing.Version `json:"version"`
	Roles   []HeldRole            `json:"roles"`
}

// HeldRole is a role as the API shows it in a user that holds it.
type HeldRole struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Disabled bool      `json:"disabled"`
	Until    time.Time `json:"until"` // zero: never
}

// Role is a role as the API shows it in a list.
type Role struct {
	ID string `json:"id"`
	view.Role
	Version eventsourcing.Version `json:"version"`
}

// Member is a member of a role as the API shows it.
type Member struct {
	ID string `json:"id"`
	view.User
	Until time.Time `json:"until"` // zero: never, and in a user
}

// Expect returns what the API must show once the read models have settled.
func (f *Fold) Expect() Shown {
	s := newShown()
	for id, state := range f.Roles {
		s.Roles[id] = Role{
			ID: id, Role: view.Role{
				Name: string(state.Name), Disabled: state.Disabled, Essential: state.Rules.Essential, MaxMembers: state.Rules.MaxMembers,
				Retiring: state.Retiring, Retired: state.Retired,
			},
			Version: f.Heads[eventsourcing.StreamID{Category: role.Category, ID: id}],
		}
		s.Members[id] = []Member{}
	}
	for id, state := range f.Users {
		member := Member{ID: id, User: view.User{
			Email: string(state.Email), FirstName: string(state.FirstName), LastName: string(state.LastName), Disabled: state.Disabled,
		}}
		shown := User{Member: member, Version: f.Heads[eventsourcing.StreamID{Category: user.Category, ID: id}], Roles: []HeldRole{}}
		for _, g := range state.Roles {
			roleID, held := string(g.RoleID), s.Roles[string(g.RoleID)]
			shown.Roles = append(shown.Roles, HeldRole{ID: roleID, Name: held.Name, Disabled: held.Disabled, Until: g.Until})
			member.Until = g.Until
			s.Members[roleID] = append(s.Members[roleID], member)
		}
		s.Users[id] = shown
	}
	for _, members := range s.Members {
		slices.SortFunc(members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	}
	return s
}

// Show reads everything through the API at base, such as "http://127.0.0.1:8080", page by page.
func Show(ctx context.Context, client *http.Client, base string) (Shown, error) {
	s := newShown()
	users, err := pages[User](ctx, client, base, "/users?limit=100")
	if err != nil {
		return s, err
	}
	for _, u := range users {
		s.Users[u.ID] = u
	}
	roles, err := pages[Role](ctx, client, base, "/roles?limit=100")
	if err != nil {
		return s, err
	}
	for _, r := range roles {
		s.Roles[r.ID] = r
		if s.Members[r.ID], err = pages[Member](ctx, client, base, "/roles/"+r.ID+"/users?limit=100"); err != nil {
			return s, err
		}
	}
	if len(users) != len(s.Users) || len(roles) != len(s.Roles) {
		return s, fmt.Errorf("a list shows something twice: %d users of %d, %d roles of %d",
			len(users), len(s.Users), len(roles), len(s.Roles))
	}
	return s, nil
}

func pages[T any](ctx context.Context, client *http.Client, base, path string) ([]T, error) {
	all := []T{}
	for path != "" {
		var page []T
		var err error
		if path, err = get(ctx, client, base+path, &page); err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	return all, nil
}

// get returns the path of the next page, if there is one.
func get(ctx context.Context, client *http.Client, url string, out any) (next string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return "", fmt.Errorf("decode %s: %w", url, err)
	}
	next, _, _ = strings.Cut(strings.TrimPrefix(res.Header.Get("Link"), "<"), ">")
	return next, nil
}

// Differences returns one line for each difference.
func Differences(want, got Shown) []string {
	return slices.Concat(
		diff("user", want.Users, got.Users),
		diff("role", want.Roles, got.Roles),
		diff("members of role", want.Members, got.Members),
	)
}

func diff[V any](what string, want, got map[string]V) []string {
	var out []string
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		w, wanted := want[id]
		g, shown := got[id]
		switch {
		case !shown:
			out = append(out, fmt.Sprintf("%s %s is not shown", what, id))
		case !wanted:
			out = append(out, fmt.Sprintf("%s %s is shown but not in the log", what, id))
		case !reflect.DeepEqual(w, g):
			out = append(out, fmt.Sprintf("%s %s: the log has %+v, the API shows %+v", what, id, w, g))
		}
	}
	return out
}
