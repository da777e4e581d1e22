package commands_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// as returns a context with that subject.
func as(t *testing.T, subject string) context.Context {
	t.Helper()
	return auth.With(t.Context(), auth.Principal{Subject: subject})
}

func TestEventsNameWhoSentTheCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.annAndAuditor() // anonymously
	_, err := w.AddRole(as(t, "dan"), ann, auditor, time.Time{}, commands.Options{})
	require.NoError(t, err)
	_, err = w.User(as(t, "eve"), "disable", ann, user.Disable{}, commands.Options{})
	require.NoError(t, err)
	var actors []string
	for _, r := range w.events(ann) {
		actors = append(actors, r.Metadata.Actor)
	}
	assert.Equal(t, []string{auth.Anonymous, "dan", "eve"}, actors)
}

func TestClientsDoNotShareKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	send := func(subject, key, id string) error {
		_, err := w.User(as(t, subject), "register", id, user.Register{ID: user.ID(id), Email: user.Email(id + "@example.com")}, commands.Options{
			Key: key, Fingerprint: id, Outcome: func(id string, _ eventsourcing.Version) []byte { return []byte(id) },
		})
		return err
	}
	require.NoError(t, send("dan", "k", ann))
	require.NoError(t, send("eve", "k", ben), "the same key, another client, another request")

	var repeated *commands.RepeatedError
	require.ErrorAs(t, send("dan", "k", ann), &repeated)
	assert.Equal(t, ann, string(repeated.Outcome))
	require.ErrorAs(t, send("eve", "k", ben), &repeated)
	assert.Equal(t, ben, string(repeated.Outcome), "each gets its own")
	require.ErrorIs(t, send("eve", "k", ann), problems.ErrKeyReused)

	// Neither subjects nor keys have spaces, so that no pair can be read as another.
	require.ErrorIs(t, send("dan", "k", auditor), problems.ErrKeyReused)
	require.NoError(t, send("dank", "k", auditor))
}
