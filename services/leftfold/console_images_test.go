//go:build unix

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// studio takes pictures of the console of a system.
type studio struct {
	*testing.T

	into   string
	tab    context.Context //nolint:containedctx // the browser's tab
	said   *complaints
	system *app.System
	base   string
}

// TestImages writes pictures of the console into the directory IMAGES, light and dark, while the demo's story is played and after it.
// make screenshots runs it; without a directory it is skipped.
func TestImages(t *testing.T) {
	s := studio{T: t, into: os.Getenv("IMAGES")}
	if s.into == "" {
		t.Skip("make screenshots writes the pictures of the docs")
	}
	s.tab, s.said = newBrowser(t)
	system, stop := running(t, "RATE_LIMIT", "0")
	defer stop()
	s.system, s.base = system, "http://"+system.APIAddr

	played := make(chan error, 1)
	go func() {
		played <- runDemo(t.Context(), app.Lookup(service.Fixed(map[string]string{
			"API_ADDR": system.APIAddr, "ADMIN_ADDR": system.AdminAddr, "AWS_ADDR": system.AWSAddr, "DEMO_USERS": "600", "DEMO_RATE": "60",
		})), os.Stdout, io.Discard)
	}()
	s.pictures("overview", 860, chromedp.Navigate(s.base+"/console"), // once it has rates of some seconds
		awaitTrue(`document.querySelector('.spark polyline')?.getAttribute('points').split(' ').length >= 8`))
	require.NoError(t, <-played)

	id := s.register("ada@example.com")
	stream := "org/iam/user/" + id
	s.send(http.MethodPut, "/users/"+id, `{"firstName":"Ada","lastName":"Lovelace"}`)
	s.pictures("journey", 800, chromedp.Navigate(s.base+"/console/journey?of="+stream), awaitText("#answer", "Every read model shows it"))
	s.pictures("stream", 760, chromedp.Navigate(s.base+"/console/streams/"+stream+"?at=2"), awaitText("#travel", "State for decisions"))
	s.pictures("what-if", 760, chromedp.Navigate(s.base+"/console/whatif/changeEmail?at=1&on="+stream),
		chromedp.SendKeys("#value-email", "new.address@example.com\r"), awaitText("#outcome", "It would be accepted"))
	for _, scheme := range schemes() {
		s.record("travelling", scheme)
	}
}

func schemes() []string { return []string{"light", "dark"} }

// send sends a command.
func (s studio) send(method, path, body string) (answer string) {
	s.Helper()
	status, answer := httpRequest{
		method: method, url: s.base + path, body: body, header: http.Header{"Content-Type": {"application/json"}},
	}.send(s.T)
	require.Equal(s, http.StatusAccepted, status, answer)
	return answer
}

// register returns the id of a new user.
func (s studio) register(email string) (id string) {
	s.Helper()
	var registered struct{ ID string }
	require.NoError(s, json.Unmarshal([]byte(s.send(http.MethodPost, "/users", `{"email":"`+email+`"}`)), &registered))
	return registered.ID
}

// in sets the colours and the size of the window.
func (s studio) in(scheme string, width, height int64) {
	s.Helper()
	_, err := chromedp.Call(s.tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(s, err)
	require.NoError(s, chromedp.Do(s.tab, chromedp.EmulateViewport(width, height)))
}

// shot is what the browser shows, as PNG.
func (s studio) shot() []byte {
	s.Helper()
	shot, err := chromedp.Run(s.tab, chromedp.CaptureScreenshot())
	require.NoError(s, err)
	return shot
}

// pictures writes a page, light and dark.
func (s studio) pictures(name string, height int64, open ...chromedp.Action[chromedp.Void]) {
	s.Helper()
	for _, scheme := range schemes() {
		s.in(scheme, 1200, height)
		require.NoError(s, chromedp.Do(s.tab, open...))
		require.NoError(s, os.WriteFile(filepath.Join(s.into, name+"-"+scheme+".png"), s.shot(), 0o644))
	}
	require.Empty(s, s.said.take(), name)
}

// record writes the journey of an event that is slow on its way, as a moving picture.
func (s studio) record(name, scheme string) {
	s.Helper()
	var slow []localaws.Fault
	for caller, operation := range map[string]string{
		"streamer": "Kinesis.PutRecords", "broker": "AmazonSQS.*", "projector-user": "DynamoDB.*", "projector-role": "DynamoDB.*",
		"projector-audit": "DynamoDB.*",
	} {
		slow = append(slow, localaws.Fault{
			Kind: localaws.FaultLatency, Operation: operation, AccessKey: caller, Probability: 1,
			Min: localaws.Duration(time.Second), Max: localaws.Duration(1500 * time.Millisecond),
		})
	}
	require.NoError(s, s.system.AWS.SetFaults(localaws.Faults{Seed: 1, Faults: slow}))
	s.in(scheme, 1300, 1240)
	id := s.register("grace." + scheme + "@example.com")
	require.NoError(s, chromedp.Do(s.tab, chromedp.Navigate(s.base+"/console/journey?of="+id), chromedp.WaitVisible("#way")))
	arrived := chromedp.Evaluate[bool](`document.querySelector('#answer').innerText.includes('Every read model shows it')`)
	var frames []image.Image
	for done := false; !done; {
		var err error
		done, err = chromedp.Run(s.tab, arrived)
		require.NoError(s, err)
		frame, err := png.Decode(bytes.NewReader(s.shot()))
		require.NoError(s, err)
		frames = append(frames, frame)
	}
	require.NoError(s, s.system.AWS.SetFaults(localaws.Faults{}))
	file, err := os.Create(filepath.Join(s.into, name+"-"+scheme+".gif"))
	require.NoError(s, err)
	require.NoError(s, gif.EncodeAll(file, moving(frames)))
	require.NoError(s, file.Close())
	require.Empty(s, s.said.take(), name)
}

// moving makes a picture of the frames that differ, each as long as a reader needs, and longer at the end.
func moving(frames []image.Image) *gif.GIF {
	const each, last = 70, 500 // hundredths of a second
	g := &gif.GIF{}
	colours := palette(frames)
	for _, frame := range frames {
		flat := image.NewPaletted(frame.Bounds(), colours)
		draw.Draw(flat, flat.Bounds(), frame, frame.Bounds().Min, draw.Src)
		if n := len(g.Image); n > 0 && bytes.Equal(g.Image[n-1].Pix, flat.Pix) {
			continue
		}
		g.Image, g.Delay = append(g.Image, flat), append(g.Delay, each)
	}
	g.Delay[len(g.Delay)-1] = last
	return g
}

// palette has the colours that the frames have most of, as many as the format allows, of those alike the one they have most of.
func palette(frames []image.Image) (most color.Palette) {
	const limit, alike = 256, 0xf0
	counts := map[color.RGBA]int{}
	for _, frame := range frames {
		for y := frame.Bounds().Min.Y; y < frame.Bounds().Max.Y; y++ {
			for x := frame.Bounds().Min.X; x < frame.Bounds().Max.X; x++ {
				c, _ := color.RGBAModel.Convert(frame.At(x, y)).(color.RGBA)
				counts[c]++
			}
		}
	}
	have := map[color.RGBA]bool{}
	for _, c := range slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return cmp.Compare(counts[b], counts[a]) }) {
		kind := color.RGBA{c.R & alike, c.G & alike, c.B & alike, c.A}
		if !have[kind] && len(most) < limit {
			have[kind], most = true, append(most, c)
		}
	}
	return most
}
