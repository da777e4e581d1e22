package check_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/deploy/terraform/check"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// programs makes a folder of shell scripts in place of programs that need a network, each by its name, and returns the PATH with them.
func programs(t *testing.T, scripts map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, script := range scripts {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+script), 0o700))
	}
	return "PATH=" + folder + string(os.PathListSeparator) + os.Getenv("PATH")
}

func script(t *testing.T, folder string, environment []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), environment...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestPinWritesWhatAReleaseNeeds: make pin writes what its check names, for each action, base image and example; a tag that has moved
// is pinned again.
func TestPinWritesWhatAReleaseNeeds(t *testing.T) {
	t.Parallel()
	copied := t.TempDir()
	for _, folder := range []string{".github/workflows", "deploy/terraform/examples"} {
		require.NoError(t, os.CopyFS(filepath.Join(copied, folder), os.DirFS(filepath.Join(root, folder))))
	}
	for _, file := range []string{"deploy/pin", "deploy/Dockerfile"} {
		require.NoError(t, os.WriteFile(filepath.Join(copied, file), []byte(read(t, file)), 0o700))
	}
	locks, err := filepath.Glob(filepath.Join(copied, "deploy/terraform/examples/*/.terraform.lock.hcl"))
	require.NoError(t, err)
	for _, lock := range locks {
		require.NoError(t, os.Remove(lock))
	}
	fakes := func(commit, digest string) string {
		return programs(t, map[string]string{
			"git":       `printf '%s\t%s\n' ` + strings.Repeat(commit, 40) + ` "$3"`,
			"docker":    "echo sha256:" + strings.Repeat(digest, 64),
			"terraform": `touch "${1#-chdir=}/.terraform.lock.hcl"`,
		})
	}
	out, err := script(t, copied, nil, "deploy/pin", "check")
	require.Error(t, err)
	assert.Contains(t, out, "examples/production/.terraform.lock.hcl")

	for _, commit := range []string{"a", "b"} { // the second time, the tags have moved
		_, err = script(t, copied, []string{fakes(commit, commit)}, "deploy/pin")
		require.NoError(t, err)
		out, err = script(t, copied, nil, "deploy/pin", "check")
		require.NoError(t, err, out)
		workflow, err := os.ReadFile(filepath.Join(copied, ".github/workflows/release.yml"))
		require.NoError(t, err)
		assert.Contains(t, string(workflow), "uses: actions/checkout@"+strings.Repeat(commit, 40)+" # v5\n")
		assert.NotRegexp(t, `uses: [a-z0-9-]+/[^ ]+@v`, string(workflow))
		assert.Contains(t, string(workflow), "uses: ./.github/workflows/check.yml\n", "it is of this repository")
		dockerfile, err := os.ReadFile(filepath.Join(copied, "deploy/Dockerfile"))
		require.NoError(t, err)
		assert.Regexp(t, `(?m)^FROM --platform=\$BUILDPLATFORM golang:[\w.-]+@sha256:`+commit+`{64} AS build$`, string(dockerfile))
		assert.Contains(t, string(dockerfile), "FROM scratch AS binary\n")
	}
}

// TestTheApprovedPlanIsApplied: the second job applies the plan that the first one showed, and makes none of its own.
func TestTheApprovedPlanIsApplied(t *testing.T) {
	t.Parallel()
	bucket := t.TempDir()
	environment := []string{
		"REGISTRY=registry", "VERSION=v1.2.3", "STATE_BUCKET=state", "AWS_REGION=eu-central-1", "BUCKET=" + bucket,
		programs(t, map[string]string{
			"terraform": `shift
case $1 in
  plan) for last; do :; done; echo "plan of $TF_VAR_image_tag" >"${last#-out=}" ;;
  show) cat "$3" ;;
  apply) [ "$#" = 3 ] && cat "$3" >"$BUCKET/applied" ;;
esac`,
			"aws": `from=$4 to=$5
case $from in s3://state/*) from=$BUCKET/kept ;; *) to=$BUCKET/kept ;; esac
cp "$from" "$to"`,
		}),
	}
	folder := filepath.Join(root, "deploy/terraform")
	shown, err := script(t, folder, environment, "./release", "plan", "17")
	require.NoError(t, err, shown)
	assert.Contains(t, shown, "plan of v1.2.3")
	out, err := script(t, folder, environment, "./release", "apply", "17")
	require.NoError(t, err, out)
	applied, err := os.ReadFile(filepath.Join(bucket, "applied"))
	require.NoError(t, err)
	assert.Equal(t, "plan of v1.2.3\n", string(applied))
}

// TestImagesAreScannedBeforeThePushAndSignedAfter, and verified before they are deployed.
func TestImagesAreScannedBeforeThePushAndSignedAfter(t *testing.T) {
	t.Parallel()
	workflow := read(t, ".github/workflows/release.yml")
	_, images, _ := strings.Cut(workflow, "\n  images:\n")
	images, rest, _ := strings.Cut(images, "\n  plan:\n")
	_, deploy, _ := strings.Cut(rest, "\n  deploy:\n")
	inOrder := func(job string, steps ...string) {
		at := 0
		for _, step := range steps {
			found := strings.Index(job[at:], step)
			require.GreaterOrEqual(t, found, 0, "%s, in this order", step)
			at += found
		}
	}
	pushed := regexp.MustCompile(`platforms: (.*)\n +push: true`).FindStringSubmatch(images)
	require.NotNil(t, pushed)
	for platform := range strings.SplitSeq(pushed[1], ",") {
		image := strings.TrimPrefix(platform, "linux/") + ".tar"
		inOrder(images, "platforms: "+platform+"\n", "dest="+image, "scan-action@", "docker-archive:"+image+`", severity-cutoff: high`,
			"fail-build: true", "push: true", "cosign sign --yes", "@$DIGEST")
	}
	assert.Equal(t, 1, strings.Count(images, "push: true"))
	inOrder(deploy, `deploy/verify-images "$REGISTRY" "$GITHUB_REF_NAME"`, "deploy/terraform/release apply")
	assert.NotContains(t, workflow, "continue-on-error")
}

// TestImagesOfAnotherOriginAreNotDeployed: one image without the signature of this release is enough.
func TestImagesOfAnotherOriginAreNotDeployed(t *testing.T) {
	t.Parallel()
	verify := func(unsigned string) (string, error) {
		return script(t, root, []string{"GITHUB_REPOSITORY=you/leftfold", programs(t, map[string]string{
			"cosign": `for image; do :; done
case $image in registry/leftfold/` + unsigned + `:*) exit 1 ;; esac
case "$*" in
*"--certificate-identity https://github.com/you/leftfold/.github/workflows/release.yml@refs/tags/v1.2.3 "*) ;;
*) exit 1 ;;
esac`,
		})}, "deploy/verify-images", "registry", "v1.2.3")
	}
	out, err := verify("none")
	require.NoError(t, err, out)
	for _, service := range append(processes.ServiceNames(), "leftfold") {
		out, err := verify(service)
		require.Error(t, err)
		assert.Contains(t, out, "registry/leftfold/"+service+":v1.2.3 is not signed")
	}
}

// TestTheBoundaryCoversEveryRole: the role that deploys makes roles with the boundary only, so it must not cut off what they need.
func TestTheBoundaryCoversEveryRole(t *testing.T) {
	t.Parallel()
	m := evaluate(t, "examples/bootstrap", map[string]cty.Value{"region": cty.StringVal("eu-central-1")})
	bounds := m.Data["aws_iam_policy_document"]["boundary"][""].Blocks["statement"]
	require.Len(t, bounds, 3, "%v", m.Blind)
	ofRebuilt := check.Strings(bounds[2].Attributes["actions"])
	covered := func(action string) bool {
		for it := bounds[0].Attributes["actions"].ElementIterator(); it.Next(); {
			if _, pattern := it.Element(); matches(pattern.AsString(), action) {
				return true
			}
		}
		return false
	}
	seen := 0
	for _, mode := range []string{"polling", "fanout"} {
		d := data(t, map[string]cty.Value{"stream_mode": cty.StringVal(mode)})
		for _, output := range []string{"access", "operators"} {
			for service, statements := range d.Outputs[output].AsValueMap() {
				for granted := range newRole(statements).used {
					seen++
					if slices.Contains(ofRebuilt, granted.action) {
						assert.Regexp(t, `-g\*$`, granted.resource, "%s: %s", service, granted.action)
						continue
					}
					assert.True(t, covered(granted.action), "%s: %s", service, granted.action)
				}
			}
		}
		for _, statement := range d.Data["aws_iam_policy_document"]["archive"][""].Blocks["statement"] {
			for it := statement.Attributes["actions"].ElementIterator(); it.Next(); {
				_, action := it.Element()
				assert.True(t, covered(action.AsString()), "archive: %s", action.AsString())
			}
		}
	}
	for _, statement := range vaultOfTheLog(t).Data["aws_iam_policy_document"]["this"][""].Blocks["statement"] {
		for _, action := range check.Strings(statement.Attributes["actions"]) {
			if action == "kms:CreateGrant" { // with the same condition
				assert.Equal(t, statement.Blocks["condition"], bounds[1].Blocks["condition"])
				continue
			}
			assert.True(t, covered(action), "backup: %s", action)
		}
	}
	for _, statement := range edge(t, nil).Data["aws_iam_policy_document"]["deployments"][""].Blocks["statement"] {
		for _, action := range check.Strings(statement.Attributes["actions"]) {
			assert.True(t, covered(action), "deployments: %s", action)
		}
	}
	service := read(t, "deploy/terraform/modules/service/roles.tf")
	for _, action := range []string{
		"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords",
		"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
		"secretsmanager:GetSecretValue", "ssm:GetParameters", "kms:Decrypt",
	} {
		require.Contains(t, service, `"`+action+`"`)
		assert.True(t, covered(action), action)
	}
	assert.Greater(t, seen, 20)
	for _, action := range []string{
		"dynamodb:DeleteTable", "kms:ScheduleKeyDeletion", "iam:CreateRole", "s3:DeleteObject", "sqs:PurgeQueue",
		"elasticloadbalancing:ModifyListener", "elasticloadbalancing:DeleteRule",
	} {
		assert.False(t, covered(action), action)
	}
}

// TestTheDeployRolePassesEveryRole: it makes roles that services of AWS take on, and hands them those, and no role to another one.
func TestTheDeployRolePassesEveryRole(t *testing.T) {
	t.Parallel()
	service, _ := serviceModule(t, nil)
	needed := map[string]bool{}
	for _, m := range []*check.Module{service, edge(t, nil), data(t, nil), vaultOfTheLog(t)} {
		for _, instances := range m.Data["aws_iam_policy_document"] {
			for _, statement := range instances[""].Blocks["statement"] {
				if !slices.Contains(check.Strings(statement.Attributes["actions"]), "sts:AssumeRole") {
					continue
				}
				for _, id := range check.Strings(statement.Blocks["principals"][0].Attributes["identifiers"]) {
					needed[id] = true
				}
			}
		}
	}
	m := evaluate(t, "examples/bootstrap", map[string]cty.Value{"region": cty.StringVal("eu-central-1")})
	var passed []string
	for _, statement := range m.Data["aws_iam_policy_document"]["deploy"][""].Blocks["statement"] {
		if statement.Text("sid") == "Pass" {
			passed = check.Strings(statement.Blocks["condition"][0].Attributes["values"])
		}
	}
	assert.ElementsMatch(t, slices.Collect(maps.Keys(needed)), passed, "%v", m.Blind)
	assert.Contains(t, passed, "ecs.amazonaws.com")
}

// TestECSChangesThisLoadBalancerOnly: the role of deployments registers targets at its target groups and modifies its rules, and sees.
func TestECSChangesThisLoadBalancerOnly(t *testing.T) {
	t.Parallel()
	m := edge(t, map[string]cty.Value{"admin_cidrs": cty.SetVal([]cty.Value{cty.StringVal("192.0.2.0/24")})})
	changes := map[string][]string{}
	for _, statement := range m.Data["aws_iam_policy_document"]["deployments"][""].Blocks["statement"] {
		if statement.Text("sid") != "See" {
			changes[strings.Join(check.Strings(statement.Attributes["actions"]), " ")] = check.Strings(statement.Attributes["resources"])
			continue
		}
		for _, action := range check.Strings(statement.Attributes["actions"]) {
			assert.Contains(t, action, ":Describe")
		}
	}
	of := func(kind string) (out []string) {
		for _, instances := range m.Resources[kind] {
			for _, b := range instances {
				out = append(out, b.Text("arn"))
			}
		}
		slices.Sort(out)
		return out
	}
	assert.Equal(t, map[string][]string{
		"elasticloadbalancing:DeregisterTargets elasticloadbalancing:RegisterTargets": of("aws_lb_target_group"),
		"elasticloadbalancing:ModifyRule":                                             of("aws_lb_listener_rule"),
	}, changes)
}
