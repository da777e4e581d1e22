// Console is a web console for operators: where every event is, why a row stands where it stands, and what is wrong.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/console/app"
)

func main() {
	service.Main("console", "shows operators where every event is and what is wrong", app.New)
}
