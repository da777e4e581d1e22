package claimsaudit_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
)

// crowd makes 20 users, half of them with a history, and 5 roles.
func (s *stage) crowd() {
	s.t.Helper()
	for n := range 20 {
		id := fmt.Sprint("u", n)
		s.registered(id, fmt.Sprint("name", n))
		if n%2 == 0 {
			require.NoError(s.t, s.user(id, user.ChangeEmail{Email: email(fmt.Sprint("later", n))}))
			require.NoError(s.t, s.user(id, user.Disable{}))
		}
	}
	for n := range 5 {
		require.NoError(s.t, s.role(fmt.Sprint("r", n), role.Create{Name: role.Name(fmt.Sprint("role-", n))}))
	}
}

func TestATableThatEqualsTheLogHasNoDifferences(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	before := s.server.Calls()
	result, lines := s.audited()
	assert.Empty(t, lines)
	assert.True(t, result.Equal())
	assert.Equal(t, claimsaudit.Result{Streams: 25, Claims: 25}, result)

	// What it costs, as docs/admin.md says.
	after := s.server.Calls()
	for operation, calls := range map[string]int64{
		"Query": 2 * 25, "GetItem": 25, "Scan": 2, "TransactGetItems": 0, "TransactWriteItems": 0, "PutItem": 0,
	} {
		assert.Equal(t, calls, after["DynamoDB."+operation]-before["DynamoDB."+operation], operation)
	}
}

func TestAnEmptySystemHasNoDifferences(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	result, lines := s.audited(repairing)
	assert.Empty(t, lines)
	assert.Equal(t, claimsaudit.Result{}, result)
}

// The same is found with each page size, and no page is larger than PageSize.
func TestTheResultDoesNotDependOnThePageSize(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.crowd()
	for _, n := range []int{1, 7, 13} { // differences at many places
		s.lose(key(fmt.Sprint("name", n)))
		s.plant(key(fmt.Sprint("orphan", n)), text(userStream(fmt.Sprint("u", n))))
	}
	whole, want := s.audited()
	require.Equal(t, 6, whole.Differences)
	for _, size := range []int32{1, 2, 3, 7, 1000} {
		pages, scans, last := 0, 0, claimsaudit.Result{}
		result, lines := s.audited(
			func(c *claimsaudit.Config) {
				c.PageSize = size
				c.OnPage = func(r claimsaudit.Result) {
					pages++
					assert.LessOrEqual(t, r.Streams+r.Claims-last.Streams-last.Claims, int(size))
					last = r
				}
			},
			s.through(hooks{before: func(op string) error {
				if op == "Scan" {
					scans++
				}
				return nil
			}}))
		assert.Equal(t, whole, result)
		assert.Equal(t, want, lines)
		assert.Equal(t, scans, pages)
		assert.GreaterOrEqual(t, scans, 45/int(size)+25/int(size), "45 events and 25 claims in pages of %d", size)
	}
}

// Something else deleted events. What is left is reported, and a repair deletes none of it.
func TestHolesAreNamedAndTheirEvidenceIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forgotten []int
		want      string
	}{
		"one inside":  {[]int{2}, "hole: user/b: log lacks an event: version 3 follows 1"},
		"some inside": {[]int{2, 3}, "hole: user/b: log lacks an event: version 4 follows 1"},
		"the first":   {[]int{1}, "hole: user/b: log lacks an event: version 2 follows 0"},
		"all but one": {[]int{1, 2, 3}, "hole: user/b: log lacks an event: version 4 follows 0"},
		"all":         {[]int{1, 2, 3, 4}, "hole: user/b: the log has no event, the table a claim on user#email"},
	} {
		for _, claimed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, claimed: %t", name, claimed), func(t *testing.T) {
				t.Parallel()
				s := newStage(t)
				defer s.server.Close()
				s.registered("a", "ann")
				s.registered("b", "bob-then")
				require.NoError(t, s.user("b", user.ChangeEmail{Email: email("bob")}))
				require.NoError(t, s.user("b", user.Disable{}))
				require.NoError(t, s.user("b", user.Enable{}))
				for _, version := range c.forgotten {
					s.forget(userStream("b"), version)
				}
				if !claimed {
					s.lose(key("bob"))
				}
				before := s.table()
				result, lines := s.audited(repairingWithoutEmptied)
				if len(c.forgotten) == 4 && !claimed { // nothing is left that could tell
					assert.True(t, result.Equal(), lines)
					return
				}
				assert.False(t, result.Equal())
				assert.Equal(t, []string{c.want}, lines, "once, however often it is met")
				assert.Equal(t, before, s.table())
			})
		}
	}
}

// A value of an emptied stream is freed, or given to who holds it, if that is asked for.
func TestAnEmptiedStreamsClaimIsTakenOnRequestOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	defer s.server.Close()
	s.registered("a", "ann")
	s.registered("b", "bob")
	s.plant(key("ann"), text(userStream("b")))
	s.forget(userStream("b"), 1)
	before := s.table()
	_, lines := s.audited(repairingWithoutEmptied)
	misplaced := "misplaced: user#email is held by user/a; the table gives it to user/b, which does not hold it"
	hole := "hole: user/b: the log has no event, the table a claim on user#email"
	assert.Equal(t, []string{hole, hole, misplaced}, lines)
	assert.Equal(t, before, s.table())
	_, lines = s.audited(repairing)
	assert.Equal(t, []string{hole + ": repaired", misplaced + ": repaired"}, lines)
	assert.Equal(t, map[string]string{key("ann"): userStream("a")}, s.table())
}

func TestEachDifferenceIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	number := &types.AttributeValueMemberN{Value: "7"}
	for name, c := range map[string]struct {
		plant    func(s *stage)
		found    []string
		repaired []string // by a repair, in which the log's side comes first
	}{
		"a claim is missing": {
			func(s *stage) { s.lose(key("ann")) },
			[]string{"missing: user#email is held by user/a and has no owner in the table"},
			[]string{"missing: user#email is held by user/a and has no owner in the table: repaired"},
		},
		"a released value": {
			func(s *stage) { s.plant(key("bob-then"), text(userStream("b"))) },
			[]string{"orphan: user#email is given to user/b, which does not hold it"},
			[]string{"orphan: user#email is given to user/b, which does not hold it: repaired"},
		},
		"a value that was never held": {
			func(s *stage) { s.plant(key("never-held"), text(userStream("absent"))) },
			[]string{"hole: user/absent: the log has no event, the table a claim on user#email"},
			[]string{"hole: user/absent: the log has no event, the table a claim on user#email: repaired"},
		},
		"a claim of a role's made a user's": {
			func(s *stage) { s.plant("org/iam/role#name:admin", text(userStream("a"))) },
			[]string{
				"misplaced: role#name is held by role/r; the table gives it to user/a, which does not hold it",
				"orphan: role#name is given to user/a, which does not hold it",
			},
			[]string{"misplaced: role#name is held by role/r; the table gives it to user/a, which does not hold it: repaired"},
		},
		"a claim assigned to a stream that does not exist": {
			func(s *stage) { s.plant(key("ann"), text(userStream("absent"))) },
			[]string{
				"hole: user/absent: the log has no event, the table a claim on user#email",
				"misplaced: user#email is held by user/a; the table gives it to user/absent, which does not hold it",
			},
			[]string{"misplaced: user#email is held by user/a; the table gives it to user/absent, which does not hold it: repaired"},
		},
		"an owner that is not a stream": {
			func(s *stage) { s.plant(key("ann"), text("secret")) },
			[]string{
				"misplaced: user#email is held by user/a; the table gives it to an invalid stream, which does not hold it",
				"orphan: user#email is given to an invalid stream, which does not hold it",
			},
			[]string{"misplaced: user#email is held by user/a; the table gives it to an invalid stream, which does not hold it: repaired"},
		},
		"rows without a valid owner, and invalid keys": {
			func(s *stage) {
				s.plant(key("x"), nil)
				s.plant(key("y"), number)
				s.plant(key("z"), text(""))
				s.plant("secret", text(userStream("a")))
			},
			[]string{
				"orphan: a value without a constraint is given to user/a, which does not hold it",
				"orphan: user#email is given to an invalid stream, which does not hold it",
				"orphan: user#email is given to an invalid stream, which does not hold it",
				"orphan: user#email is given to an invalid stream, which does not hold it",
			},
			[]string{
				"orphan: a value without a constraint is given to user/a, which does not hold it: repaired",
				"orphan: user#email is given to an invalid stream, which does not hold it: repaired",
				"orphan: user#email is given to an invalid stream, which does not hold it: repaired",
				"orphan: user#email is given to an invalid stream, which does not hold it: repaired",
			},
		},
		"held claims without a valid owner": {
			func(s *stage) {
				s.plant(key("ann"), number)
				s.plant(key("bob"), nil)
			},
			[]string{
				"misplaced: user#email is held by user/a; the table gives it to an invalid stream, which does not hold it",
				"misplaced: user#email is held by user/b; the table gives it to an invalid stream, which does not hold it",
				"orphan: user#email is given to an invalid stream, which does not hold it",
				"orphan: user#email is given to an invalid stream, which does not hold it",
			},
			[]string{
				"misplaced: user#email is held by user/a; the table gives it to an invalid stream, which does not hold it: repaired",
				"misplaced: user#email is held by user/b; the table gives it to an invalid stream, which does not hold it: repaired",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			defer s.server.Close()
			s.registered("a", "ann")
			s.registered("b", "bob-then")
			require.NoError(t, s.user("b", user.ChangeEmail{Email: email("bob")}))
			require.NoError(t, s.role("r", role.Create{Name: "Admin"}))
			want := s.table()
			require.Len(t, want, 3)
			c.plant(s)
			planted := s.table()

			result, lines := s.audited()
			assert.Equal(t, c.found, lines)
			assert.False(t, result.Equal())
			assert.Equal(t, planted, s.table(), "nothing is changed without Repair")

			result, lines = s.audited(repairing)
			assert.Equal(t, c.repaired, lines)
			assert.True(t, result.Equal())
			assert.Equal(t, want, s.table())

			result, lines = s.audited(repairing)
			assert.Empty(t, lines, "a second repair has nothing to do")
			assert.Equal(t, claimsaudit.Result{Streams: 3, Claims: 3}, result)
		})
	}
}

// An audit cannot decide between two holders of one value.
func TestAContestedClaimIsLeftToItsHolders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	t.Cleanup(s.server.Close)
	s.registered("a", "ann")
	s.lose(key("ann"))
	s.registered("b", "ann")
	const contested = "contested: user#email is held by both user/a and user/b, the table's owner: " +
		"let one of them give it up by a command, then repair"
	for range 2 {
		result, lines := s.audited(repairing)
		assert.Equal(t, []string{contested}, lines)
		assert.False(t, result.Equal())
	}
	require.NoError(t, s.user("b", user.ChangeEmail{Email: email("bob")}))
	result, lines := s.audited(repairing)
	assert.Equal(t, []string{"missing: user#email is held by user/a and has no owner in the table: repaired"}, lines)
	assert.True(t, result.Equal())

	t.Run("the other one gives it up", func(t *testing.T) {
		t.Parallel()
		s := newStage(t)
		t.Cleanup(s.server.Close)
		s.registered("a", "ann")
		s.lose(key("ann"))
		s.registered("b", "ann")
		require.NoError(t, s.user("a", user.ChangeEmail{Email: email("anna")}))
		result, lines := s.audited()
		assert.Empty(t, lines)
		assert.True(t, result.Equal())
	})
}

func TestAnIllegibleStreamIsReportedAndHidesNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant  func(s *stage)
		detail []string
	}{
		"an unknown event": {
			func(s *stage) { s.write(userStream("a"), 2, "org/iam/user/teleported", `{"to":"secret"}`) },
			[]string{"illegible: user/a: version 2 cannot be decoded as user/teleported"},
		},
		"a payload of another shape": {
			func(s *stage) { s.write(userStream("a"), 2, "org/iam/user/emailChanged", `{"email":["secret"]}`) },
			[]string{"illegible: user/a: version 2 cannot be decoded as user/emailChanged"},
		},
		"an event in the middle is gone": {
			func(s *stage) {
				require.NoError(s.t, s.user("a", user.Disable{}))
				require.NoError(s.t, s.user("a", user.Enable{}))
				s.forget(userStream("a"), 2)
			},
			[]string{"hole: user/a: log lacks an event: version 3 follows 1"},
		},
		"a category of a later program": {
			func(s *stage) {
				s.write("org/iam/group/g", 1, "org/iam/group/formed", `{}`)
				s.plant("org/iam/group#name:admins", text("org/iam/group/g"))
				s.lose(key("ann"))
				s.plant(key("ann"), text("org/iam/group/g")) // a is healthy, but what of g?
			},
			[]string{"illegible: group/g: its category is not known to this program"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			defer s.server.Close()
			s.registered("a", "ann")
			s.registered("b", "bob")
			c.plant(s)
			s.lose(key("bob"))
			planted := s.table()
			result, lines := s.audited(repairing)
			assert.False(t, result.Equal())
			assert.Contains(t, lines, "missing: user#email is held by user/b and has no owner in the table: repaired")
			for _, detail := range c.detail {
				assert.Contains(t, lines, detail)
			}
			assert.Len(t, lines, 1+len(c.detail), "each stream once: %v", lines)
			planted[key("bob")] = userStream("b")
			assert.Equal(t, planted, s.table(), "what cannot be judged is not changed")
		})
	}
}
