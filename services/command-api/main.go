// Command-api accepts commands over HTTP, decides them and appends the events to the log.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/command-api/app"
)

func main() {
	service.Main("command-api", "accepts commands over HTTP, decides them and appends the events to the log", app.New)
}
