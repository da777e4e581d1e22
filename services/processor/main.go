// Processor runs the processes: it ends grants whose time is over, and takes roles that are retired from everybody.
package main

import (
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/processor/app"
)

func main() {
	service.Main(topology.Processor, "ends grants whose time is over, and takes roles that are retired from everybody", app.New)
}
