package fleet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

const root = "../../../../"

func decode[T any](t *testing.T, path string) (v T) {
	t.Helper()
	text, err := os.ReadFile(root + path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &v), path)
	return v
}

type launch struct {
	Configurations []struct {
		Name, Program, PreLaunchTask string
		Env                          map[string]string
	}
}

type tasks struct {
	Tasks []struct{ Label, Command string }
}

// A debugger has a configuration for each service, with the addresses at which the others, which it starts first, expect it.
func TestTheEditorStartsEveryServiceWhereTheOthersExpectIt(t *testing.T) {
	t.Parallel()
	var cfg app.Config
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(nil)), &cfg))
	all, withAPI := serviceNames(cfg)
	admins, err := inARow(cfg.Admin.Addr, len(all))
	require.NoError(t, err)
	apis, err := inARow(cfg.CommandAPI.Addr, 1+len(withAPI))
	require.NoError(t, err)
	want := map[string]map[string]string{}
	for i, name := range all {
		want[name] = map[string]string{"ADMIN_ADDR": admins[i], "AWS_ENDPOINT_URL": "http://" + cfg.AWSAddr, "AWS_REGION": cfg.Region}
	}
	for i, name := range withAPI {
		want[name]["API_ADDR"] = apis[i+1]
	}
	commands := map[string]string{}
	for _, task := range decode[tasks](t, ".vscode/tasks.json").Tasks {
		commands[task.Label] = task.Command
	}
	for _, c := range decode[launch](t, ".vscode/launch.json").Configurations {
		program, inTree := strings.CutPrefix(c.Program, "${workspaceFolder}/")
		if !inTree {
			continue // the open file's package
		}
		assert.FileExists(t, filepath.Join(root, program, "main.go"), c.Name)
		name := filepath.Base(program)
		for variable, value := range want[name] {
			assert.Equal(t, value, c.Env[variable], "%s of %s", variable, c.Name)
		}
		if want[name] != nil {
			assert.Equal(t, "make services WITHOUT="+name, commands[c.PreLaunchTask], c.Name)
		}
		delete(want, name)
	}
	assert.Empty(t, want, "services without a configuration in .vscode/launch.json")
}

// The container for developers has the Go of the images, and the addresses of make run.
func TestTheDevelopersContainerIsAsTheRest(t *testing.T) {
	t.Parallel()
	container := decode[struct {
		Image        string
		ForwardPorts []int
	}](t, ".devcontainer/devcontainer.json")
	dockerfile, err := os.ReadFile(root + "deploy/Dockerfile")
	require.NoError(t, err)
	assert.Equal(t, regexp.MustCompile(`golang:\S+`).FindString(string(dockerfile)), container.Image)
	assert.Equal(t, []int{8080, 9090, 4566}, container.ForwardPorts)
}
