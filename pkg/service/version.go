package service

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Version is which release this is. Builds of images set it by -ldflags, such as
// "-X github.com/leftfold/leftfold/pkg/service.Version=v1.2.3"; where they did not, Release may still know.
var Version = "dev"

// Revision is the commit that this was made of, set as Version is.
var Revision = "unknown"

// Release is Version and Revision or, where no build set them, what the go command noted of the checkout it built, if it
// noted anything.
func Release() (version, revision string) {
	info, _ := debug.ReadBuildInfo()
	return release(Version, Revision, info)
}

func release(version, revision string, info *debug.BuildInfo) (string, string) {
	if info == nil {
		return version, revision
	}
	if v := info.Main.Version; version == "dev" && v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && revision == "unknown" {
			revision = s.Value
		}
	}
	return version, revision
}

// buildInfo is 1, for its labels.
func buildInfo() prometheus.Collector {
	version, revision := Release()
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "build_info",
		Help:        "1; its labels say which release of which commit this is, made by which Go.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go": runtime.Version()},
	})
	g.Set(1)
	return g
}
