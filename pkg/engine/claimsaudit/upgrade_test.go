package claimsaudit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// stored is a DynamoDB attribute value in JSON, as far as the tables have it.
type stored struct {
	S *string
	N *string
	L []stored
	M map[string]stored
}

func (v stored) value() types.AttributeValue {
	switch {
	case v.S != nil:
		return &types.AttributeValueMemberS{Value: *v.S}
	case v.N != nil:
		return &types.AttributeValueMemberN{Value: *v.N}
	case v.M != nil:
		return &types.AttributeValueMemberM{Value: values(v.M)}
	default:
		list := &types.AttributeValueMemberL{}
		for _, one := range v.L {
			list.Value = append(list.Value, one.value())
		}
		return list
	}
}

func values(m map[string]stored) map[string]types.AttributeValue {
	out := map[string]types.AttributeValue{}
	for name, v := range m {
		out[name] = v.value()
	}
	return out
}

// newFormerStage is a stage with the log and the claims table as commit 8df94e5 wrote them. Its claims ignored case and
// nothing else, so it registered all pairs of one text that Unicode spells in two ways.
func newFormerStage(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	t.Cleanup(s.server.Close)
	text, err := os.ReadFile("testdata/tables-8df94e5.json")
	require.NoError(t, err)
	var tables map[string][]map[string]stored
	require.NoError(t, json.Unmarshal(text, &tables))
	for table, rows := range tables {
		for _, row := range rows {
			_, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: values(row)})
			require.NoError(t, err)
		}
	}
	return s
}

const (
	hangul, jamo     = "\uac00\uac01", "\u1100\u1161\u1100\u1161\u11a8"
	tonos, oxia      = "\u03ba\u03ac", "\u03ba\u1f71"
	unified, compat  = "\u8c48", "\uf900"
	uLabel, aLabel   = "b\u00fccher.example", "xn--bcher-kva.example"
	decomposedULabel = "bu\u0308cher.example"
)

// formerID is the ID of a user (a) or role (b) of the fixture.
func formerID(kind, name string) string {
	return "01920b7c-5e3a-7c4d-9b1e-00000000" + kind + "0" + name
}

// emails are the addresses of each mailbox of the fixture, in all spellings, and the users that registered it.
var emails = []struct {
	spellings []string
	owners    []string
}{
	{[]string{hangul + "@pair.example", jamo + "@pair.example"}, []string{"11", "12"}},
	{[]string{tonos + "@pair.example", oxia + "@pair.example"}, []string{"21", "22"}},
	{[]string{unified + "@pair.example", compat + "@pair.example"}, []string{"31", "32"}},
	{[]string{jamo + "@single.example", hangul + "@single.example"}, []string{"42"}},
	{[]string{oxia + "@single.example", tonos + "@single.example", "\u039a\u0386@SINGLE.example"}, []string{"52"}},
	{[]string{compat + "@single.example", unified + "@single.example"}, []string{"62"}},
	{[]string{"pair@" + uLabel, "pair@" + aLabel, "PAIR@" + decomposedULabel}, []string{"71", "72"}},
	{[]string{"alabel@" + aLabel, "alabel@" + uLabel, "alabel@" + decomposedULabel}, []string{"81"}},
	{[]string{"ulabel@" + uLabel, "ulabel@" + aLabel, "ulabel@" + decomposedULabel}, []string{"82"}},
	{[]string{"info@dotted.example", "INFO@dotted.example"}, []string{"91"}}, // it was given as \u0130nfo@
	{[]string{jamo + "@disabled.example", hangul + "@disabled.example"}, []string{"b1"}},
}

var roleNames = []struct {
	spellings []string
	owners    []string
}{
	{[]string{hangul + "-pair", jamo + "-pair"}, []string{"11", "12"}},
	{[]string{tonos + "-pair", oxia + "-PAIR"}, []string{"21", "22"}},
	{[]string{unified + "-pair", compat + "-pair"}, []string{"31", "32"}},
	{[]string{jamo + "-single", hangul + "-single"}, []string{"42"}},
	{[]string{oxia + "-single", tonos + "-single"}, []string{"52"}},
	{[]string{compat + "-single", unified + "-single"}, []string{"62"}},
}

// try registers a new user of that address.
func (s *stage) try(id, address string) error {
	email, err := user.ParseEmail(address)
	require.NoError(s.t, err)
	return s.user(id, user.Register{ID: user.ID(id), Email: email})
}

func (s *stage) tryRole(id, text string) error {
	name, err := role.ParseName(text)
	require.NoError(s.t, err)
	return s.role(id, role.Create{ID: role.ID(id), Name: name})
}

// A repair adds the keys of today to the tables of a former build and lists the pairs that the former build let in. From
// then on each value has at most one new owner in any spelling, and is free again when its last owner releases it.
func TestTextsThatFormerBuildsRegisteredAreReservedInEachSpelling(t *testing.T) {
	t.Parallel()
	s := newFormerStage(t)
	before := s.table()
	result, lines := s.audited(repairing)
	var contested, missing []string
	for _, line := range lines {
		if pair, ok := strings.CutPrefix(line, "contested: "); ok {
			contested = append(contested, pair)
		} else {
			require.Regexp(t, "^missing: (user#email|role#name) is held by .* and has no owner in the table: repaired$", line)
			missing = append(missing, line)
		}
	}
	assert.Len(t, contested, 7, "4 pairs of e-mails, 3 of role names: %q", contested)
	assert.Len(t, missing, 8, "4 e-mails and 3 role names that are not composed, and one domain of U-labels")
	assert.Equal(t, 15, result.Differences)
	for _, pair := range [][2]string{{"11", "12"}, {"21", "22"}, {"31", "32"}, {"71", "72"}} {
		isListed := func(line string) bool {
			return strings.HasPrefix(line, "user#email") &&
				strings.Contains(line, formerID("a", pair[0])) && strings.Contains(line, formerID("a", pair[1]))
		}
		assert.True(t, slices.ContainsFunc(contested, isListed), "users %v", pair)
	}
	after := s.table()
	for key, owner := range before {
		assert.Equal(t, owner, after[key], "what former builds reserved stays theirs")
	}
	assert.Len(t, after, len(before)+8)

	made := 0
	newID := func() string { made++; return fmt.Sprint("new", made) }
	for _, mailbox := range emails {
		for _, spelling := range mailbox.spellings {
			require.ErrorIs(t, s.try(newID(), spelling), eventsourcing.ErrClaimTaken, "%q", spelling)
		}
	}
	for _, name := range roleNames {
		for _, spelling := range name.spellings {
			require.ErrorIs(t, s.tryRole(newID(), spelling), eventsourcing.ErrClaimTaken, "%q", spelling)
		}
	}
	require.NoError(t, s.try("dotted", "\u0130NFO@dotted.example"), "another mailbox than info@")
	require.ErrorIs(t, s.try(newID(), "I\u0307nfo@dotted.example"), eventsourcing.ErrClaimTaken)
	require.NoError(t, s.try("later", hangul+"@released.example"), "a value that was released under the former build")

	// The owners of each value give it up one by one.
	for n, mailbox := range emails {
		for i, owner := range mailbox.owners {
			id := formerID("a", owner)
			if owner == "b1" {
				require.NoError(t, s.user(id, user.Enable{}))
			}
			require.NoError(t, s.user(id, user.ChangeEmail{Email: user.Email(fmt.Sprintf("gone%d-%d@example.com", n, i))}))
			if i+1 < len(mailbox.owners) {
				_, _ = s.audited(repairing)
				for _, spelling := range mailbox.spellings {
					require.ErrorIs(t, s.try(newID(), spelling), eventsourcing.ErrClaimTaken, "%q has another owner", spelling)
				}
			}
		}
		first := newID()
		require.NoError(t, s.try(first, mailbox.spellings[0]), "%q", mailbox.spellings[0])
		for _, spelling := range mailbox.spellings {
			require.ErrorIs(t, s.try(newID(), spelling), eventsourcing.ErrClaimTaken, "%q", spelling)
		}
	}
	for n, name := range roleNames {
		for i, owner := range name.owners {
			require.NoError(t, s.role(formerID("b", owner), role.Rename{Name: role.Name("gone" + strings.Repeat("x", 2*n+i))}))
			_, _ = s.audited(repairing)
		}
		require.NoError(t, s.tryRole(newID(), name.spellings[0]))
		for _, spelling := range name.spellings {
			require.ErrorIs(t, s.tryRole(newID(), spelling), eventsourcing.ErrClaimTaken, "%q", spelling)
		}
	}
	result, lines = s.audited()
	assert.Empty(t, lines)
	assert.True(t, result.Equal(), "the table is the union of the claims of all folds")
}

// Before the repair, too, an owner that spells its value anew keeps it reserved.
func TestAnOwnerMaySpellItsValueAnewBeforeTheRepair(t *testing.T) {
	t.Parallel()
	s := newFormerStage(t)
	email, err := user.ParseEmail(jamo + "@single.example")
	require.NoError(t, err)
	require.NoError(t, s.user(formerID("a", "42"), user.ChangeEmail{Email: email}))
	require.ErrorIs(t, s.try("new", hangul+"@single.example"), eventsourcing.ErrClaimTaken)
	name, err := role.ParseName(jamo + "-single")
	require.NoError(t, err)
	require.NoError(t, s.role(formerID("b", "42"), role.Rename{Name: name}))
	require.ErrorIs(t, s.tryRole("new", hangul+"-single"), eventsourcing.ErrClaimTaken)
}
