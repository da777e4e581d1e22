// Projector-role projects events into the roles read model and serves it.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/projector-role/app"
)

func main() {
	service.Main("projector-role", "projects events into the roles read model and serves it", app.New)
}
