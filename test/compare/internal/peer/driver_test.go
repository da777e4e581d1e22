package peer_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/compare/internal/peer"
)

// fake is the driver that the tests run: it behaves as it is told.
func fake(behaviour string) {
	switch behaviour {
	case "installs":
		_ = os.WriteFile("built by "+os.Args[1], nil, 0o600)
	case "answers":
		fmt.Printf("starting %s\n{\"table\":%q,\"events\":%s}\n", os.Args[1], os.Getenv("TABLE"), os.Getenv("EVENTS"))
	case "has no such task":
		fmt.Println(`{"offered":false}`)
	case "fails":
		_, _ = fmt.Fprintln(os.Stderr, "a long trace\nthe reason")
		os.Exit(3)
	case "prints nonsense":
		fmt.Println("hello")
	case "prints nothing":
	case "hangs":
		forever := make(chan os.Signal, 1)
		signal.Notify(forever, os.Interrupt)
		<-forever
	case "waits":
		response, err := http.Get(os.Getenv("AWS_ENDPOINT_URL"))
		if err != nil {
			os.Exit(1)
		}
		_ = response.Body.Close()
		fmt.Println("{}")
	case "shows its environment":
		var vars []string
		for _, v := range os.Environ() {
			if strings.HasPrefix(v, "AWS_") {
				vars = append(vars, fmt.Sprintf("%q", v))
			}
		}
		fmt.Printf(`{"vars":[%s]}`, strings.Join(vars, ","))
	}
}

// driver returns an installed driver that behaves so.
func driver(t *testing.T, behaviour string) peer.Driver {
	t.Helper()
	p, scratch := load(t, folder(t, nil)), t.TempDir()
	t.Setenv("FAKE_DRIVER", "installs")
	require.NoError(t, p.Install(t.Context(), scratch, io.Discard))
	t.Setenv("FAKE_DRIVER", behaviour)
	return p.Drivers(scratch)[0]
}

func TestTheRuntimeIsAskedInThePeersFolder(t *testing.T) {
	p, scratch := load(t, folder(t, func(d map[string]any) { d["runtime"] = []string{"./runtime", "--version"} })), t.TempDir()
	t.Setenv("FAKE_DRIVER", "installs")
	require.NoError(t, p.Install(t.Context(), scratch, io.Discard))
	program, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(program, filepath.Join(scratch, "fake", "runtime")))
	t.Setenv("FAKE_DRIVER", "prints nonsense")
	version, err := p.RuntimeVersion(t.Context(), scratch)
	require.NoError(t, err)
	assert.Equal(t, "hello", version)
}

// calm never looks.
func calm() peer.Watch { return peer.Watch{Progress: func() int64 { return 0 }} }

func TestADriverAnswersInItsLastLine(t *testing.T) {
	var answer struct {
		Table  string
		Events int
	}
	_, err := driver(t, "answers").Run(t.Context(), "update", peer.Work{Table: "compare", Events: 7}, calm(), &answer)
	require.NoError(t, err)
	assert.Equal(t, "compare", answer.Table)
	assert.Equal(t, 7, answer.Events)
}

func TestADriverNeedNotOfferATask(t *testing.T) {
	_, err := driver(t, "has no such task").Run(t.Context(), "gap", peer.Work{}, calm(), &struct{}{})
	require.ErrorIs(t, err, peer.ErrNotOffered)
}

func TestWhatADriverDoesWrongIsSaid(t *testing.T) {
	for behaviour, says := range map[string]string{
		"fails": "exit status 3: the reason", "prints nonsense": `driver answers "hello"`, "prints nothing": `driver answers ""`,
	} {
		_, err := driver(t, behaviour).Run(t.Context(), "update", peer.Work{}, calm(), &struct{}{})
		require.ErrorContains(t, err, says)
	}
}

func TestADriverThatMakesNoProgressIsKilled(t *testing.T) {
	ticks := make(chan time.Time)
	ended := make(chan error)
	d := driver(t, "hangs")
	go func() {
		_, err := d.Run(t.Context(), "update", peer.Work{}, peer.Watch{Progress: calm().Progress, Ticks: ticks, Patience: 3}, &struct{}{})
		ended <- err
	}()
	for {
		select {
		case ticks <- time.Time{}:
			continue
		case err := <-ended:
			require.ErrorIs(t, err, peer.ErrHangs)
		}
		return
	}
}

func TestADriverThatMakesProgressIsLeftAlone(t *testing.T) {
	const patience = 3
	ticks := make(chan time.Time)
	var calls atomic.Int64
	aws := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for range 10 * patience {
			select {
			case ticks <- time.Time{}:
				calls.Add(1)
			case <-r.Context().Done(): // killed
				return
			}
		}
	}))
	defer aws.Close()
	watch := peer.Watch{Progress: calls.Load, Ticks: ticks, Patience: patience}
	_, err := driver(t, "waits").Run(t.Context(), "update", peer.Work{Endpoint: aws.URL}, watch, &struct{}{})
	require.NoError(t, err)
}

func TestADriverMeetsTheEmbeddedAWSAlone(t *testing.T) {
	d := driver(t, "shows its environment")
	t.Setenv("AWS_PROFILE", "production")
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", "https://dynamodb.us-east-1.amazonaws.com")
	t.Setenv("AWS_ACCESS_KEY_ID", "real")
	var answer struct{ Vars []string }
	_, err := d.Run(t.Context(), "update", peer.Work{Endpoint: "http://127.0.0.1:1"}, calm(), &answer)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		"AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}, answer.Vars)
}
