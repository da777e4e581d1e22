package service

import (
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheReleaseIsReadFromTheBuild(t *testing.T) {
	t.Parallel()
	checkout := &debug.BuildInfo{
		Main:     debug.Module{Version: "v0.0.0-20261126111600-bdfec078a1b2+dirty"},
		Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "bdfec07"}},
	}
	for name, tt := range map[string]struct {
		set  [2]string
		info *debug.BuildInfo
		want [2]string
	}{
		"as -ldflags say":         {[2]string{"v1.2.3", "e22db65"}, checkout, [2]string{"v1.2.3", "e22db65"}},
		"as -ldflags say in part": {[2]string{"v1.2.3", "unknown"}, checkout, [2]string{"v1.2.3", "bdfec07"}},
		"of a checkout":           {[2]string{"dev", "unknown"}, checkout, [2]string{checkout.Main.Version, "bdfec07"}},
		"of files without a history": {
			[2]string{"dev", "unknown"}, &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, [2]string{"dev", "unknown"},
		},
		"as a test":          {[2]string{"dev", "unknown"}, new(debug.BuildInfo), [2]string{"dev", "unknown"}},
		"with nothing noted": {[2]string{"dev", "unknown"}, nil, [2]string{"dev", "unknown"}},
	} {
		version, revision := release(tt.set[0], tt.set[1], tt.info)
		assert.Equal(t, tt.want, [2]string{version, revision}, name)
	}
}

func TestMetricsNameEachServicesRelease(t *testing.T) {
	t.Parallel()
	whole, registry, err := NewPlatform(Config{LogFormat: "json"}, io.Discard)
	require.NoError(t, err)
	whole.For("broker")
	whole.For("streamer")
	version, revision := Release()
	labels := func(service string) string {
		return `leftfold_build_info{go="` + runtime.Version() + `",revision="` + revision + `",` +
			`service="` + service + `",version="` + version + `"} 1` + "\n"
	}
	require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(
		"# HELP leftfold_build_info 1; its labels say which release of which commit this is, made by which Go.\n"+
			"# TYPE leftfold_build_info gauge\n"+labels("broker")+labels("streamer")), "leftfold_build_info"))
}
