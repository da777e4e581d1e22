package claimsaudit_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
)

// A model of who holds what predicts the differences between a random log and table, and the result of a repair. The seed is
// the name of the subtest.
func TestTheAuditAgreesWithAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			defer s.server.Close()
			agreeWithAModel(t, s, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

var (
	names   = []string{"n1", "n2", "n3", "n4"}
	streams = []string{userStream("u1"), userStream("u2"), userStream("u3")}
)

// holders returns the streams that hold the key.
func holders(held map[string]string, key string) []string {
	return slices.DeleteFunc(slices.Clone(streams), func(stream string) bool { return held[stream] != key })
}

// happen changes the log and the table at random, and returns what each stream holds.
func happen(s *stage, chance *rand.Rand) (held map[string]string) {
	held = map[string]string{}
	for range chance.IntN(25) {
		stream, name := streams[chance.IntN(len(streams))], names[chance.IntN(len(names))]
		id := stream[len(user.Category)+1:]
		switch chance.IntN(4) {
		case 0:
			s.lose(key(name))
		case 1:
			s.plant(key(name), text(stream))
		default:
			var err error
			if held[stream] == "" {
				err = s.user(id, user.Register{ID: user.ID(id), Email: email(name)})
			} else {
				err = s.user(id, user.ChangeEmail{Email: email(name)})
			}
			if err == nil { // the table may have refused it, rightly or not
				held[stream] = key(name)
			}
		}
	}
	return held
}

// differences returns what an audit must find, by kind and stream.
func differences(held, table map[string]string) (wanted []string) {
	for _, name := range names {
		owner, owned := table[key(name)]
		rightful := held[owner] == key(name)
		for _, stream := range holders(held, key(name)) {
			switch {
			case !owned:
				wanted = append(wanted, fmt.Sprint(claimsaudit.Missing, stream))
			case !rightful:
				wanted = append(wanted, fmt.Sprint(claimsaudit.Misplaced, stream))
			case stream != owner:
				wanted = append(wanted, fmt.Sprint(claimsaudit.Contested, stream))
			}
		}
		switch {
		case owned && held[owner] == "":
			wanted = append(wanted, fmt.Sprint(claimsaudit.Hole, owner))
		case owned && !rightful:
			wanted = append(wanted, fmt.Sprint(claimsaudit.Orphan, owner))
		}
	}
	return wanted
}

func agreeWithAModel(t *testing.T, s *stage, chance *rand.Rand) {
	t.Helper()
	held := happen(s, chance)
	table := s.table()
	_, found, err := s.audit()
	require.NoError(t, err)
	var got []string
	for _, d := range found {
		got = append(got, fmt.Sprint(d.Kind, d.Stream))
	}
	require.ElementsMatch(t, differences(held, table), got)
	require.Equal(t, table, s.table(), "nothing is changed without Repair")

	result, _, err := s.audit(repairing)
	require.NoError(t, err)
	left, contested := s.table(), false
	for _, name := range names {
		entitled := holders(held, key(name))
		owner, owned := left[key(name)]
		assert.Equal(t, len(entitled) > 0, owned)
		if owned {
			assert.Contains(t, entitled, owner)
		}
		if before := table[key(name)]; slices.Contains(entitled, before) {
			assert.Equal(t, before, owner, "a rightful owner keeps it")
		}
		contested = contested || len(entitled) > 1
	}
	assert.Equal(t, !contested, result.Equal())
	again, _, err := s.audit(repairing)
	require.NoError(t, err)
	assert.Zero(t, again.Repaired)
}
