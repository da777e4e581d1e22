//go:build unix

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// TestImages writes pictures of the console into the directory IMAGES, light and dark, while the demo's story is played and after it.
// make screenshots runs it; without a directory it is skipped.
func TestImages(t *testing.T) {
	into := os.Getenv("IMAGES")
	if into == "" {
		t.Skip("make screenshots writes the pictures of the docs")
	}
	tab, said := newBrowser(t)
	system, stop := running(t, "RATE_LIMIT", "0")
	defer stop()
	base := "http://" + system.APIAddr
	picture := func(name string, height int64, open ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		for _, scheme := range []string{"light", "dark"} {
			_, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			require.NoError(t, err)
			require.NoError(t, chromedp.Do(tab, append([]chromedp.Action[chromedp.Void]{chromedp.EmulateViewport(1200, height)}, open...)...))
			png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(into, name+"-"+scheme+".png"), png, 0o644))
		}
		require.Empty(t, said.take(), name)
	}

	played := make(chan error, 1)
	go func() {
		played <- runDemo(t.Context(), app.Lookup(service.Fixed(map[string]string{
			"API_ADDR": system.APIAddr, "ADMIN_ADDR": system.AdminAddr, "AWS_ADDR": system.AWSAddr, "DEMO_USERS": "600", "DEMO_RATE": "60",
		})), os.Stdout, io.Discard)
	}()
	picture("overview", 860, chromedp.Navigate(base+"/console"), // once it has rates of some seconds
		awaitTrue(`document.querySelector('.spark polyline')?.getAttribute('points').split(' ').length >= 8`))
	require.NoError(t, <-played)

	var users []struct{ ID string }
	status, text := httpRequest{method: http.MethodGet, url: base + "/users?limit=1", header: http.Header{}}.send(t)
	require.Equal(t, http.StatusOK, status)
	require.NoError(t, json.Unmarshal([]byte(text), &users))
	stream := "org/iam/user/" + users[0].ID
	picture("journey", 760, chromedp.Navigate(base+"/console/journey?of="+stream), awaitText("#answer", "Every read model shows it"))
	picture("stream", 760, chromedp.Navigate(base+"/console/streams/"+stream+"?at=2"), awaitText("#travel", "State for decisions"))
	picture("what-if", 760, chromedp.Navigate(base+"/console/whatif/changeEmail?at=1&on="+stream),
		chromedp.SendKeys("#value-email", "new.address@example.com\r"), awaitText("#outcome", "It would be accepted"))
}
