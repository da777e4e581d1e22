// Projector-user projects events into the users read model and serves it.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/projector-user/app"
)

func main() {
	service.Main("projector-user", "projects events into the users read model and serves it", app.New)
}
