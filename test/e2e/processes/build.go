package processes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// ServiceNames returns all services that events pass, in their order.
func ServiceNames() (names []string) {
	for _, s := range (app.Services{}).All() {
		names = append(names, s.Name)
	}
	return names
}

// Build compiles the services' programs into dir. It is quick where they are up to date.
func Build(ctx context.Context, dir string) error {
	return build(ctx, dir, append([]string{"leftfold", topology.Console}, ServiceNames()...))
}

// BuildChanged compiles programs into dir as another build of them: file has another text than in the working tree.
func BuildChanged(ctx context.Context, dir, file, text string, programs ...string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	changed, overlay := filepath.Join(dir, filepath.Base(file)), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(changed, []byte(text), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return err
	}
	return build(ctx, dir, programs, "-overlay", overlay)
}

func build(ctx context.Context, dir string, programs []string, flags ...string) error {
	args := slices.Concat([]string{"build", "-o", dir + string(filepath.Separator)}, flags)
	for _, program := range programs {
		args = append(args, "github.com/leftfold/leftfold/services/"+program)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the services: %w\n%s", err, out)
	}
	return nil
}
