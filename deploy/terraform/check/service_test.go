package check_test

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/deploy/terraform/check"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// variables returns all variables that a deployed service reads; the SDK reads those that begin with AWS_.
func variables() map[string]service.Variable {
	out := map[string]service.Variable{}
	for _, v := range service.Variables(&service.Config{}, &app.Services{}) {
		out[v.Name] = v
	}
	return out
}

// TestTheEnvironmentNamesEveryResource: the environment names exactly what Terraform creates, by the default names.
func TestTheEnvironmentNamesEveryResource(t *testing.T) {
	t.Parallel()
	environment := data(t, nil).Outputs["environment"].AsValueMap()
	for _, v := range service.Variables(&topology.Names{}) {
		require.Contains(t, environment, v.Name)
		assert.Equal(t, v.Default, environment[v.Name].AsString(), v.Name)
	}
	known := variables()
	for name, value := range environment {
		require.Contains(t, known, name)
		assert.Equal(t, known[name].Default, value.AsString(), "%s: is not the default", name)
	}
}

// container is the part of a container's definition that is tested.
type container struct {
	Name, Image, User      string
	ReadonlyRootFilesystem bool
	StopTimeout            int
	Environment            []struct{ Name, Value string }
	PortMappings           []struct{ ContainerPort int }
	HealthCheck            struct {
		Command           []string
		Interval, Retries int
	}
}

// serviceModule returns the module service and the containers of its task.
func serviceModule(t *testing.T, vars map[string]cty.Value) (*check.Module, []container) {
	t.Helper()
	all := map[string]cty.Value{
		"name": cty.StringVal("projector-user"), "image": cty.StringVal("registry/leftfold/projector-user:v1"), "vpc_id": cty.StringVal("vpc"),
		"subnet_ids": cty.ListVal([]cty.Value{cty.StringVal("subnet")}), "kms_key_arn": cty.StringVal("key"), "permissions": cty.EmptyObjectVal,
		"cluster": cty.ObjectVal(map[string]cty.Value{"arn": cty.StringVal("cluster"), "name": cty.StringVal("leftfold")}),
		"target":  edge(t, nil).Outputs["targets"].AsValueMap()["projector-user"],
		"scaling": cty.ObjectVal(map[string]cty.Value{
			"min": cty.NumberIntVal(2), "max": cty.NumberIntVal(4), "cpu": cty.NumberIntVal(60), "requests": cty.NumberIntVal(6000),
			"signals": cty.EmptyObjectVal,
		}),
	}
	maps.Copy(all, vars)
	m := evaluate(t, "modules/service", all)
	var containers []container
	task := m.Resources["aws_ecs_task_definition"]["this"][""]
	require.NotEmpty(t, task.Attributes, "%v", m.Blind)
	require.NoError(t, json.Unmarshal([]byte(task.Text("container_definitions")), &containers))
	return m, containers
}

func TestTasksRunAsTheImagesRequire(t *testing.T) {
	t.Parallel()
	m, containers := serviceModule(t, nil)
	require.Len(t, containers, 1)
	c := containers[0]
	assert.True(t, c.ReadonlyRootFilesystem)
	assert.Equal(t, []string{"CMD", "/app", "-health"}, c.HealthCheck.Command)
	dockerfile := read(t, "deploy/Dockerfile")
	assert.Contains(t, dockerfile, "\nUSER "+c.User+"\n")
	assert.Contains(t, dockerfile, `CMD ["/app", "-health"]`)
	for _, p := range c.PortMappings {
		assert.Regexp(t, `_ADDR=:`+strings.TrimSpace(cty.NumberIntVal(int64(p.ContainerPort)).AsBigFloat().String()), dockerfile)
	}
	task := m.Resources["aws_ecs_task_definition"]["this"][""]
	assert.Equal(t, "ARM64", task.Blocks["runtime_platform"][0].Text("cpu_architecture"))
	assert.Contains(t, read(t, ".github/workflows/release.yml"), "linux/arm64")
}

// TestAReleaseThatIsRolledBackFails: where ECS has rolled a service back, which the provider takes for success, the apply fails.
func TestAReleaseThatIsRolledBackFails(t *testing.T) {
	t.Parallel()
	m, _ := serviceModule(t, nil)
	released := m.Resources["aws_ecs_task_definition"]["this"][""].Attributes["arn"]
	conditions := m.Resources["aws_ecs_service"]["this"][""].Postconditions
	require.Len(t, conditions, 1, "%v", m.Blind)
	met, _, err := conditions[0](map[string]cty.Value{"task_definition": released})
	require.NoError(t, err)
	assert.True(t, met)
	met, message, err := conditions[0](map[string]cty.Value{"task_definition": cty.StringVal("the former")})
	require.NoError(t, err)
	assert.False(t, met)
	assert.Contains(t, message, "it runs the former")
}

// TestAReleaseShiftsTrafficAsAsked: ECS gets the pair of target groups and the rule of each port, whatever the strategy, so that one can
// follow another; an API alone has a port that traffic is shifted at.
func TestAReleaseShiftsTrafficAsAsked(t *testing.T) {
	t.Parallel()
	operators := map[string]cty.Value{"admin_cidrs": cty.SetVal([]cty.Value{cty.StringVal("192.0.2.0/24")})}
	targets := edge(t, operators).Outputs["targets"].AsValueMap()
	arn := func(kind, of string) string { return kind + " " + of }
	for deployment, want := range map[string]struct {
		strategy string
		canary   int
	}{"rolling": {"ROLLING", 0}, "blue_green": {"BLUE_GREEN", 0}, "canary": {"CANARY", 1}} {
		m, _ := serviceModule(t, map[string]cty.Value{"deployment": cty.StringVal(deployment), "target": targets["projector-user"]})
		service := m.Resources["aws_ecs_service"]["this"][""]
		require.NotEmpty(t, service.Attributes, "%v", m.Blind)
		configuration := service.Blocks["deployment_configuration"][0]
		assert.Equal(t, want.strategy, configuration.Text("strategy"))
		assert.Len(t, configuration.Blocks["canary_configuration"], want.canary)
		ports := map[string][]string{}
		for _, of := range service.Blocks["load_balancer"] {
			advanced := of.Blocks["advanced_configuration"][0]
			assert.Equal(t, "aws_iam_role/deployments", advanced.Text("role_arn"))
			ports[of.Text("container_port")] = []string{
				of.Text("target_group_arn"), advanced.Text("alternate_target_group_arn"), advanced.Text("production_listener_rule"),
			}
		}
		assert.Equal(t, map[string][]string{
			"8080": {arn("this", "projector-user"), arn("this", "projector-user-alt"), arn("reads", "projector-user")},
			"9090": {arn("admin", "projector-user"), arn("admin", "projector-user-alt"), arn("admin", "projector-user")},
		}, ports, deployment)
	}
	m, _ := serviceModule(t, map[string]cty.Value{"target": cty.NullVal(cty.DynamicPseudoType)})
	reader := m.Resources["aws_ecs_service"]["this"][""]
	assert.Equal(t, "ROLLING", reader.Blocks["deployment_configuration"][0].Text("strategy"))
	assert.Empty(t, reader.Blocks["load_balancer"])
	assert.Empty(t, m.Resources["aws_appautoscaling_policy"]["signal"])
}

// TestOtherTasksCallAnAPIAtItsPortAlone: where the processor calls services without the load balancer, as in the trial, their tasks are
// found by name and let in the networks that are named, at the API's port; by default none are.
func TestOtherTasksCallAnAPIAtItsPortAlone(t *testing.T) {
	t.Parallel()
	m, _ := serviceModule(t, nil)
	assert.Empty(t, m.Resources["aws_vpc_security_group_ingress_rule"]["callers"])
	assert.Empty(t, m.Resources["aws_vpc_security_group_egress_rule"]["calls"])
	assert.Empty(t, m.Resources["aws_ecs_service"]["this"][""].Blocks["service_registries"])
	const network, registry = "10.0.0.0/24", "arn:aws:servicediscovery:eu-central-1:123456789012:service/srv-0"
	networks := cty.SetVal([]cty.Value{cty.StringVal(network)})
	m, _ = serviceModule(t, map[string]cty.Value{"callers": networks, "calls": networks, "registry_arn": cty.StringVal(registry)})
	for kind, name := range map[string]string{"ingress": "callers", "egress": "calls"} {
		rules := m.Resources["aws_vpc_security_group_"+kind+"_rule"][name]
		require.Len(t, rules, 1, "%v", m.Blind)
		assert.Equal(t, network, rules[network].Text("cidr_ipv4"))
		for _, end := range []string{"from_port", "to_port"} {
			assert.True(t, rules[network].Attributes[end].RawEquals(cty.NumberIntVal(8080)), "%s of %s", end, name)
		}
	}
	found := m.Resources["aws_ecs_service"]["this"][""].Blocks["service_registries"]
	require.Len(t, found, 1)
	assert.Equal(t, registry, found[0].Text("registry_arn"))
}

// TestECSAloneMovesTraffic: each rule begins at the first target group of a pair, and Terraform leaves it afterwards as ECS has set it.
func TestECSAloneMovesTraffic(t *testing.T) {
	t.Parallel()
	m := edge(t, map[string]cty.Value{"admin_cidrs": cty.SetVal([]cty.Value{cty.StringVal("192.0.2.0/24")})})
	rules := 0
	for name, instances := range m.Resources["aws_lb_listener_rule"] {
		for key, rule := range instances {
			rules++
			groups := rule.Blocks["action"][0].Blocks["forward"][0].Blocks["target_group"]
			require.Len(t, groups, 2)
			assert.Equal(t, groups[0].Text("arn")+"-alt", groups[1].Text("arn"), "%s %s", name, key)
			assert.Equal(t, []time.Duration{100 * time.Second, 0}, []time.Duration{
				seconds(groups[0].Attributes["weight"]), seconds(groups[1].Attributes["weight"]),
			})
		}
	}
	assert.Equal(t, 1+2*len((topology.Names{}).Consumers()), rules)
	text := read(t, "deploy/terraform/modules/edge/main.tf") + read(t, "deploy/terraform/modules/edge/admin.tf")
	assert.Equal(t, strings.Count(text, `resource "aws_lb_listener_rule"`), strings.Count(text,
		"ignore_changes = [action[0].forward[0].target_group]"))
}

// TestTargetGroupsHaveNamesThatAWSTakes: 32 characters at most, and none twice, with the longest name that the module takes.
func TestTargetGroupsHaveNamesThatAWSTakes(t *testing.T) {
	t.Parallel()
	const longest = "sixteen--letters"
	valid := regexp.MustCompile(`regex\("([^"]+)", var\.name\)`).FindStringSubmatch(read(t, "deploy/terraform/modules/edge/variables.tf"))
	require.Len(t, valid, 2)
	assert.Regexp(t, valid[1], longest)
	assert.NotRegexp(t, valid[1], longest+"s")
	m := edge(t, map[string]cty.Value{
		"name": cty.StringVal(longest), "admin_cidrs": cty.SetVal([]cty.Value{cty.StringVal("192.0.2.0/24")}),
	})
	seen := map[string]bool{}
	for _, instances := range m.Resources["aws_lb_target_group"] {
		for _, group := range instances {
			name := group.Text("name")
			assert.Regexp(t, "^[a-z-]{1,32}$", name)
			assert.False(t, seen[name], name)
			seen[name] = true
		}
	}
	assert.Len(t, seen, 2+4*len((topology.Names{}).Consumers()))
}

// TestRequestsAreCountedAtBothTargetGroups: the autoscaler sees as many requests for each task while traffic moves as before.
func TestRequestsAreCountedAtBothTargetGroups(t *testing.T) {
	t.Parallel()
	m, _ := serviceModule(t, nil)
	policy := m.Resources["aws_appautoscaling_policy"]["signal"]["requests"]
	var counted []string
	var expression string
	for _, metric := range policy.Blocks["target_tracking_scaling_policy_configuration"][0].
		Blocks["customized_metric_specification"][0].Blocks["metrics"] {
		if metric.Text("expression") != "" {
			expression = metric.Text("expression")
		}
		for _, stat := range metric.Blocks["metric_stat"] {
			assert.Equal(t, "RequestCountPerTarget", stat.Blocks["metric"][0].Text("metric_name"))
			for _, dimension := range stat.Blocks["metric"][0].Blocks["dimensions"] {
				if dimension.Text("name") == "TargetGroup" {
					counted = append(counted, dimension.Text("value"))
				}
			}
		}
	}
	assert.ElementsMatch(t, []string{"group/projector-user", "group/projector-user-alt"}, counted)
	assert.Equal(t, "FILL(group0, 0) + FILL(group1, 0)", expression)
}

// TestTasksHaveTimeToStop: ECS kills a task after STOP_TIMEOUT, the load balancer drains a target for as long as the longest answer,
// and closes idle connections before the service does.
func TestTasksHaveTimeToStop(t *testing.T) {
	t.Parallel()
	_, containers := serviceModule(t, nil)
	known := variables()
	stop := ""
	for _, e := range containers[0].Environment {
		if e.Name == "STOP_TIMEOUT" {
			stop = e.Value
		}
	}
	assert.Greater(t, time.Duration(containers[0].StopTimeout)*time.Second, duration(t, stop)+5*time.Second)
	edge := edge(t, nil)
	group := edge.Resources["aws_lb_target_group"]["this"]["command-api"]
	assert.GreaterOrEqual(t, seconds(group.Attributes["deregistration_delay"]), duration(t, known["HTTP_WRITE_TIMEOUT"].Default))
	idle := seconds(edge.Resources["aws_lb"]["this"][""].Attributes["idle_timeout"])
	assert.Less(t, idle, duration(t, known["HTTP_IDLE_TIMEOUT"].Default))
	assert.Greater(t, idle, duration(t, known["HTTP_WRITE_TIMEOUT"].Default))
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	require.NoError(t, err)
	return d
}

func seconds(v cty.Value) time.Duration {
	n, _ := v.AsBigFloat().Int64()
	return time.Duration(n) * time.Second
}

// assigned finds where a variable of the environment is set, as a key of an object or in a container's list.
var assigned = regexp.MustCompile(`(?m)^\s*([A-Z][A-Z0-9_]{3,})\s*=`)

// TestOnlyKnownVariablesAreSet checks every upper-case key in the text, so that none is misspelt.
func TestOnlyKnownVariablesAreSet(t *testing.T) {
	t.Parallel()
	known := variables()
	found := 0
	for _, pattern := range []string{"modules/service/*.tf", "modules/data/outputs.tf", "examples/*/main.tf"} {
		files, err := filepath.Glob(filepath.Join(root, "deploy/terraform", pattern))
		require.NoError(t, err)
		for _, file := range files {
			relative, err := filepath.Rel(root, file)
			require.NoError(t, err)
			for _, m := range assigned.FindAllStringSubmatch(read(t, relative), -1) {
				found++
				if !strings.HasPrefix(m[1], "AWS_") && m[1] != "GOMAXPROCS" { // which the SDK and Go read
					assert.Contains(t, known, m[1], file)
				}
			}
		}
	}
	assert.Greater(t, found, 10)
	needed := []string{"OIDC_ISSUER", "OIDC_AUDIENCE", "TRUSTED_PROXIES", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"}
	for _, name := range needed {
		assert.Contains(t, read(t, "deploy/terraform/examples/production/main.tf"), name)
	}
}

func edge(t *testing.T, vars map[string]cty.Value) *check.Module {
	t.Helper()
	text := func(s string) cty.Value { return cty.StringVal(s) }
	all := map[string]cty.Value{
		"name": text("leftfold"), "vpc_id": text("vpc"), "vpc_cidr": text("10.0.0.0/16"), "certificate_arn": text("certificate"),
		"subnet_ids": cty.ListVal([]cty.Value{text("subnet")}),
	}
	maps.Copy(all, vars)
	m, err := check.Evaluate(filepath.Join(root, "deploy/terraform/modules/edge"), all,
		func(kind, name, key string, b check.Block) map[string]cty.Value {
			known := arns(kind, name, key, b)
			if key != "" { // one of several
				known["arn"] = text(name + " " + key)
			}
			known["arn_suffix"] = text("group/" + key)
			return known
		})
	require.NoError(t, err)
	require.Contains(t, m.Outputs, "targets", "%v", m.Blind)
	return m
}

// TestTheEdgeSendsEveryOperationToItsService matches every operation of each service with the load balancer's rules.
func TestTheEdgeSendsEveryOperationToItsService(t *testing.T) {
	t.Parallel()
	m := edge(t, nil)
	rules := maps.Clone(m.Resources["aws_lb_listener_rule"]["reads"])
	rules["command-api"] = m.Resources["aws_lb_listener_rule"]["commands"][""]
	inOrder := slices.SortedFunc(maps.Keys(rules), func(a, b string) int {
		return rules[a].Attributes["priority"].AsBigFloat().Cmp(rules[b].Attributes["priority"].AsBigFloat())
	})
	target := func(method, path string) string {
		for _, service := range inOrder {
			methods, paths := []string{method}, []string(nil) // all methods, unless a condition names some
			for _, condition := range rules[service].Blocks["condition"] {
				for _, m := range condition.Blocks["http_request_method"] {
					methods = check.Strings(m.Attributes["values"])
				}
				for _, p := range condition.Blocks["path_pattern"] {
					paths = check.Strings(p.Attributes["values"])
				}
			}
			if slices.Contains(methods, method) && slices.ContainsFunc(paths, func(pattern string) bool { return matches(pattern, path) }) {
				return service
			}
		}
		return ""
	}
	for service, api := range apis(t, func(a service.App) func(huma.API) { return a.Routes }) {
		for path, item := range api.OpenAPI().Paths {
			for method, op := range map[string]*huma.Operation{
				"GET": item.Get, "HEAD": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete, "PATCH": item.Patch,
			} {
				if op != nil {
					assert.Equal(t, service, target(method, path), "%s %s", method, path)
				}
			}
		}
	}
	for _, path := range []string{"/openapi.json", "/docs", "/problems", "/problems/not_found", "/usersx", "/"} {
		assert.Equal(t, "command-api", target("GET", path), path)
	}
}

// TestOperatorsReachTheirOperations: the load balancer's port for operators leads to every operation of a projection, and to nothing else.
func TestOperatorsReachTheirOperations(t *testing.T) {
	t.Parallel()
	assert.Empty(t, edge(t, nil).Resources["aws_lb_listener_rule"]["admin"], "only where networks are named")
	m := edge(t, map[string]cty.Value{"admin_cidrs": cty.SetVal([]cty.Value{cty.StringVal("192.0.2.0/24")})})
	target := func(path string) string {
		for service, rule := range m.Resources["aws_lb_listener_rule"]["admin"] {
			for _, pattern := range check.Strings(rule.Blocks["condition"][0].Blocks["path_pattern"][0].Attributes["values"]) {
				if matches(pattern, path) {
					return service
				}
			}
		}
		return ""
	}
	operations := 0
	for service, api := range apis(t, func(a service.App) func(huma.API) { return a.Admin }) {
		for path := range api.OpenAPI().Paths {
			operations++
			assert.Equal(t, service, target(path), path)
		}
	}
	assert.Greater(t, operations, 5)
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/users", "/projections"} {
		assert.Empty(t, target(path), path)
	}
}

// apis returns the APIs of the services that have one.
func apis(t *testing.T, of func(service.App) func(huma.API)) map[string]huma.API {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: defaults(t)}))
	var cfg app.Config
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(nil)), &cfg))
	out := map[string]huma.API{}
	for _, s := range cfg.All() {
		p, _, err := service.NewPlatform(cfg.Config, t.Output())
		require.NoError(t, err)
		p.AWS = server.Config()
		a, err := s.New(t.Context(), p.For(s.Name))
		require.NoError(t, err)
		if routes := of(a); routes != nil {
			out[s.Name] = httpapi.NewAPI(chi.NewRouter())
			routes(out[s.Name])
		}
	}
	require.GreaterOrEqual(t, len(out), len(cfg.Names.Consumers()))
	return out
}

// TestTheExampleRunsEveryService: the example runs each service but leftfold, the console if asked to, and has a repository for the image
// of each. The trial, which is served by HTTP, has no console.
func TestTheExampleRunsEveryService(t *testing.T) {
	t.Parallel()
	folders, err := filepath.Glob(filepath.Join(root, "services/*"))
	require.NoError(t, err)
	main, bootstrap := read(t, "deploy/terraform/examples/production/main.tf"), read(t, "deploy/terraform/examples/bootstrap/main.tf")
	minimal := read(t, "deploy/terraform/examples/minimal/main.tf")
	var projections map[string]any // the examples read the file
	require.NoError(t, json.Unmarshal([]byte(read(t, "deploy/terraform/modules/consumers.json")), &projections))
	granted := data(t, nil).Outputs["access"].AsValueMap()
	for _, folder := range folders {
		name := filepath.Base(folder)
		if name != "leftfold" {
			assert.Contains(t, granted, name)
		}
		if projections[name] != nil {
			continue
		}
		assert.Contains(t, bootstrap, `"`+name+`"`, "a repository for its images")
		if name != "leftfold" {
			assert.Regexp(t, `(?m)^    `+name+`\s+= \{`, main)
			assert.Equal(t, name != topology.Console, regexp.MustCompile(`(?m)^    `+name+`\s+= `).MatchString(minimal), name)
		}
	}
	assert.Contains(t, bootstrap, `"collector"`, "a repository for the copy of its image")
	workflow := read(t, ".github/workflows/release.yml")
	for _, variable := range regexp.MustCompile(`TF_VAR_(\w+)`).FindAllStringSubmatch(workflow, -1) {
		assert.Contains(t, read(t, "deploy/terraform/examples/production/variables.tf"), `variable "`+variable[1]+`"`)
	}
}
