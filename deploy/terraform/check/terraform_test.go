package check_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// TestServicesRunOnTheAppliedResources is TestServicesRunOnTheDeclaredResources without our own evaluation of the HCL: Terraform and
// its AWS provider apply the module data to an emulator of AWS, find nothing to change after it was used, and destroy it. It
// downloads the provider, so it runs only if MOTO_SERVER or AWS_EMULATOR is set, as by deploy/terraform/tf-check.
func TestServicesRunOnTheAppliedResources(t *testing.T) {
	program, err := exec.LookPath(cmp.Or(os.Getenv("TERRAFORM"), "terraform"))
	if err != nil {
		t.Skip("no terraform on the PATH, and TERRAFORM names none: https://developer.hashicorp.com/terraform/install")
	}
	endpoint, moto := emulator(t)
	target := aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}
	tf := terraform{program: program, folder: stage(t, endpoint)}
	if moto {
		require.NoError(t, os.WriteFile(filepath.Join(tf.folder, "data", "moto_override.tf"), []byte(notOfMoto), 0o600))
	}
	tf.must(t, "init")
	tf.must(t, "apply", "-auto-approve")
	var environment map[string]string
	require.NoError(t, json.Unmarshal([]byte(tf.must(t, "output", "-json", "environment")), &environment))
	require.Equal(t, "staging-EventLog", environment["TABLE_EVENT_LOG"])

	t.Run("the services run on it", func(t *testing.T) {
		names := live(t, target, environment)
		require.NoError(t, provision.Run(t.Context(), target, provision.Config{Names: names}), "it finds all it needs")
	})
	t.Run("provision makes the same", func(t *testing.T) { sameByProvision(t, target, environment) })
	t.Run("nothing has drifted", func(t *testing.T) {
		out, code := tf.run(t, "plan", "-detailed-exitcode")
		require.Zero(t, code, "2 says that Terraform would change something:\n%s", out)
	})
	tf.must(t, "destroy", "-auto-approve")
	left, err := dynamodb.NewFromConfig(target).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	for _, name := range left.TableNames {
		assert.False(t, strings.HasPrefix(name, "staging-"), name)
	}
}

// notOfMoto removes from the module what moto 5.2.5 does not support: SQS's attribute RedriveAllowPolicy.
const notOfMoto = `
resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = {}
}
`

// emulator returns the endpoint in AWS_EMULATOR, which must be empty, or that of a new moto.
func emulator(t *testing.T) (endpoint string, moto bool) {
	t.Helper()
	if named := os.Getenv("AWS_EMULATOR"); named != "" {
		return named, false
	}
	program := os.Getenv("MOTO_SERVER")
	if program == "" {
		t.Skip("neither AWS_EMULATOR names an endpoint nor MOTO_SERVER a program: pip install 'moto[server]', MOTO_SERVER=moto_server")
	}
	server := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-H", "127.0.0.1", "-p", "0")
	server.Env = surroundings()
	says, err := server.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, server.Start())
	said := make(chan struct{})
	t.Cleanup(func() {
		assert.NoError(t, server.Process.Kill(), "it ended unexpectedly")
		<-said
		_ = server.Wait() // killed
	})
	lines := bufio.NewScanner(says)
	for endpoint == "" && lines.Scan() {
		_, endpoint, _ = strings.Cut(lines.Text(), "Running on ")
	}
	go func() {
		defer close(said)
		_, _ = io.Copy(io.Discard, says) // a line a request
	}()
	require.NotEmpty(t, endpoint, "%s did not print its address", program)
	return endpoint, true
}

// surroundings returns the environment without the variables of the real AWS.
func surroundings() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") })
}

// stage creates a folder with a root module that applies the module data at the endpoint, with the provider of production.
func stage(t *testing.T, endpoint string) string {
	t.Helper()
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(folder, "data"), os.DirFS(filepath.Join(root, "deploy/terraform/modules/data"))))
	projections := []byte(read(t, "deploy/terraform/modules/consumers.json"))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "consumers.json"), projections, 0o600))
	pinned := regexp.MustCompile(`version = "[^"]+"`).FindString(read(t, "deploy/terraform/examples/production/versions.tf"))
	require.NotEmpty(t, pinned)
	var endpoints strings.Builder
	for _, service := range []string{"dynamodb", "firehose", "iam", "kinesis", "kms", "logs", "s3", "sqs", "sts"} {
		fmt.Fprintf(&endpoints, "    %s = %q\n", service, endpoint)
	}
	require.NoError(t, os.WriteFile(filepath.Join(folder, "main.tf"), fmt.Appendf(nil, `
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      %s
    }
  }
}

provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "local"
  secret_key                  = "local"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  s3_use_path_style           = true
  endpoints {
%s  }
}

module "data" {
  source              = "./data"
  prefix              = "staging-"
  deletion_protection = false
}

output "environment" {
  value = module.data.environment
}
`, pinned, endpoints.String()), 0o600))
	return folder
}

// terraform is the program in a folder.
type terraform struct{ program, folder string }

func (tf terraform) must(t *testing.T, args ...string) string {
	t.Helper()
	out, code := tf.run(t, args...)
	require.Zero(t, code, "terraform %s:\n%s", args[0], out)
	return out
}

// run returns its output and its exit code; its standard error is logged.
func (tf terraform) run(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	began := time.Now()
	command := exec.CommandContext(t.Context(), tf.program, args...)
	command.Dir = tf.folder
	command.Env = append(surroundings(), "TF_IN_AUTOMATION=1", "TF_INPUT=0", "TF_CLI_ARGS=-no-color", "CHECKPOINT_DISABLE=1")
	var output, besides strings.Builder
	command.Stdout, command.Stderr = &output, &besides
	err := command.Run()
	require.NotNil(t, command.ProcessState, "%v", err) // it ran, however it ended
	t.Logf("terraform %s: %s %s", strings.Join(args, " "), time.Since(began).Round(time.Millisecond), &besides)
	return output.String(), command.ProcessState.ExitCode()
}

// sameByProvision creates everything again by provision, under other names, and compares the two of each pair.
func sameByProvision(t *testing.T, target aws.Config, environment map[string]string) {
	t.Helper()
	twin := func(name string) string { return strings.Replace(name, "staging-", "twin-", 1) }
	var names topology.Names
	require.NoError(t, service.LoadConfig(func(variable string) (string, bool) {
		name, ok := environment[variable]
		return twin(name), ok
	}, &names))
	require.NoError(t, provision.Run(t.Context(), target, provision.Config{Names: names}))

	db, queues := dynamodb.NewFromConfig(target), sqs.NewFromConfig(target)
	pairs := 0
	for variable, name := range environment {
		switch {
		case strings.HasPrefix(variable, "TABLE_"):
			assert.Equal(t, provisioned(t, db, twin(name)), provisioned(t, db, name), name)
			pairs++
		case strings.HasPrefix(variable, "QUEUE_IAM_"):
			for _, name := range []string{name, topology.DeadLetters(name)} {
				want := settings(t, queues, twin(name))
				want["RedrivePolicy"] = strings.Replace(want["RedrivePolicy"], "twin-", "staging-", 1)
				assert.Equal(t, want, settings(t, queues, name), name)
				pairs++
			}
		}
	}
	assert.Equal(t, 9+3*len(names.Consumers()), pairs, "tables and queues")
	summary := func(name string) *kinesistypes.StreamDescriptionSummary {
		in := &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(name)}
		out, err := kinesis.NewFromConfig(target).DescribeStreamSummary(t.Context(), in)
		require.NoError(t, err)
		return out.StreamDescriptionSummary
	}
	want, got := summary(names.Stream), summary(environment["STREAM_EVENTS"])
	assert.Equal(t, *want.OpenShardCount, *got.OpenShardCount)
	assert.Equal(t, *want.RetentionPeriodHours, *got.RetentionPeriodHours)
}

// settings returns a queue's attributes for which Terraform has arguments.
func settings(t *testing.T, queues *sqs.Client, name string) map[string]string {
	t.Helper()
	url, err := queues.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	require.NoError(t, err)
	out, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: url.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameAll},
	})
	require.NoError(t, err)
	of := map[string]string{}
	for _, attribute := range attributes {
		of[attribute] = redrive(out.Attributes, attribute)
	}
	return of
}
