// Projector-audit keeps the audit trail, a line for each event, and serves it.
package main

import (
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/projector-audit/app"
)

func main() {
	service.Main("projector-audit", "keeps the audit trail and serves it", app.New)
}
