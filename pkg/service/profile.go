package service

import (
	"net/http"
	"net/http/pprof" // it adds routes to http.DefaultServeMux, which nothing serves
	"path"
)

// ProfilePath begins the addresses of profiles.
const ProfilePath = "/debug/pprof/"

// Profile serves what go tool pprof and go tool trace read, at ProfilePath. A profile shows where the process spends its time and
// memory, and no data.
func Profile(w http.ResponseWriter, r *http.Request) {
	switch path.Base(r.URL.Path) {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	default: // heap, goroutine and others, or the list of all
		pprof.Index(w, r)
	}
}
