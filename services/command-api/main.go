// Command-api takes commands over HTTP, decides them and appends the events to the log.
package main

import (
	"github.com/leftfold/leftfold/pkg/process"
	"github.com/leftfold/leftfold/services/command-api/app"
)

func main() {
	process.Main("command-api", "takes commands over HTTP, decides them and appends the events to the log", app.New)
}
