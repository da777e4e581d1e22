package service

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Version is the release. Builds of images set it by -ldflags, such as
// "-X github.com/leftfold/leftfold/pkg/service.Version=v1.2.3"; otherwise Release may still find it.
var Version = "dev"

// Revision is the commit of the build, set as Version is.
var Revision = "unknown"

// Release returns Version and Revision or, where the build did not set them, what debug.BuildInfo has of the checkout.
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

// buildInfo is a constant 1; its labels carry the release.
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
