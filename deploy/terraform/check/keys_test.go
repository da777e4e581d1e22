package check_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/deploy/terraform/check"
)

// keyUse is a call of KMS; empty fields are not there.
type keyUse struct {
	principal, action, service, log string
}

// allowed reports whether a key's policy, with IAM allowing everything, allows a call.
func (u keyUse) allowed(t *testing.T, policy check.Block) bool {
	t.Helper()
	for _, statement := range policy.Blocks["statement"] {
		require.NotEqual(t, "Deny", statement.Text("effect"), "not evaluated here")
		allowed := slices.ContainsFunc(check.Strings(statement.Attributes["actions"]), func(a string) bool { return matches(a, u.action) })
		by := statement.Blocks["principals"][0]
		account := u.account()
		allowed = allowed && slices.ContainsFunc(check.Strings(by.Attributes["identifiers"]), func(id string) bool {
			return id == "*" || id == u.principal || id == "arn:aws:iam::"+account+":root" && by.Text("type") == "AWS"
		})
		for _, condition := range statement.Blocks["condition"] {
			value, known := map[string]string{
				"kms:CallerAccount": account, "kms:ViaService": u.service, "aws:PrincipalArn": u.principal,
				"kms:EncryptionContext:aws:logs:arn": u.log,
			}[condition.Text("variable")]
			require.True(t, known, condition.Text("variable"))
			require.Contains(t, []string{"StringEquals", "StringLike", "ArnLike"}, condition.Text("test"))
			allowed = allowed && slices.ContainsFunc(check.Strings(condition.Attributes["values"]), func(v string) bool {
				return v == value || condition.Text("test") != "StringEquals" && matches(v, value)
			})
		}
		if allowed {
			return true
		}
	}
	return false
}

func (u keyUse) account() string {
	if len(u.principal) > 25 && u.principal[:13] == "arn:aws:iam::" {
		return u.principal[13:25]
	}
	return "" // a service
}

// TestKeysAreUsedByTheSystemAloneAndThroughItsServices: an administrator, to whom IAM allows everything, manages the keys and reads
// nothing.
func TestKeysAreUsedByTheSystemAloneAndThroughItsServices(t *testing.T) {
	t.Parallel()
	const (
		ours     = "arn:aws:iam::123456789012:"
		task     = ours + "role/leftfold/broker-task"
		deployer = ours + "role/leftfold-deploy"
		operator = ours + "role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Operators_0a1b"
		admin    = ours + "role/Administrator"
		root     = ours + "root"
		stranger = "arn:aws:iam::999999999999:role/leftfold/broker-task"
		logs     = "logs.eu-central-1.amazonaws.com"
		dynamodb = "dynamodb.eu-central-1.amazonaws.com"
		s3       = "s3.eu-central-1.amazonaws.com"
		group    = "arn:aws:logs:eu-central-1:123456789012:log-group:/leftfold/broker"
	)
	m := data(t, map[string]cty.Value{"key_users": cty.SetVal([]cty.Value{
		cty.StringVal("leftfold-deploy"), cty.StringVal("aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_Operators_*"),
	})})
	policies := m.Data["aws_iam_policy_document"]["key"]
	for _, c := range []struct {
		key  string
		use  keyUse
		want bool
	}{
		{"data", keyUse{principal: task, action: "kms:Decrypt", service: dynamodb}, true},
		{"data", keyUse{principal: task, action: "kms:Decrypt", service: "sqs.eu-central-1.amazonaws.com"}, true},
		{"data", keyUse{principal: task, action: "kms:GenerateDataKey", service: "kinesis.eu-central-1.amazonaws.com"}, true},
		{"data", keyUse{principal: task, action: "kms:Decrypt"}, false},
		{"data", keyUse{principal: task, action: "kms:Decrypt", service: "lambda.eu-central-1.amazonaws.com"}, false},
		{"data", keyUse{principal: task, action: "kms:Decrypt", service: s3}, false},
		{"data", keyUse{principal: task, action: "kms:PutKeyPolicy", service: dynamodb}, true}, // IAM allows no task that
		{"data", keyUse{principal: deployer, action: "kms:CreateGrant", service: dynamodb}, true},
		{"data", keyUse{principal: deployer, action: "kms:CreateGrant"}, false},
		{"data", keyUse{principal: operator, action: "kms:Decrypt", service: dynamodb}, true},
		{"data", keyUse{principal: stranger, action: "kms:Decrypt", service: dynamodb}, false},
		{"data", keyUse{principal: stranger, action: "kms:DescribeKey"}, false},
		{"data", keyUse{principal: logs, action: "kms:GenerateDataKey", log: group}, true},
		{"data", keyUse{principal: logs, action: "kms:GenerateDataKey", log: strings.Replace(group, "/leftfold/", "/other/", 1)}, false},
		{"data", keyUse{principal: logs, action: "kms:GenerateDataKey", log: strings.Replace(group, "1234", "9999", 1)}, false},
		{"archive", keyUse{principal: ours + "role/leftfold/leftfold-archive", action: "kms:GenerateDataKey", service: s3}, true},
		{"archive", keyUse{principal: task, action: "kms:Decrypt", service: dynamodb}, false},
		{"archive", keyUse{principal: logs, action: "kms:GenerateDataKey", log: group}, false},
	} {
		assert.Equal(t, c.want, c.use.allowed(t, policies[c.key]), "%s: %+v", c.key, c.use)
	}
	require.Len(t, policies, 2)
	for name, policy := range policies {
		for _, principal := range []string{admin, root} {
			for _, service := range []string{"", dynamodb, s3} {
				for _, action := range []string{"Decrypt", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "CreateGrant"} {
					use := keyUse{principal: principal, action: "kms:" + action, service: service}
					assert.False(t, use.allowed(t, policy), "%s: %+v", name, use)
				}
			}
			for _, action := range []string{"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion", "kms:EnableKey"} {
				assert.True(t, keyUse{principal: principal, action: action}.allowed(t, policy), "%s: nobody could repair it: %s", name, action)
			}
		}
	}
}

// TestTheArchiveHasAKeyOfItsOwn: no key is needed for both the log and its copy.
func TestTheArchiveHasAKeyOfItsOwn(t *testing.T) {
	t.Parallel()
	m, err := check.Evaluate(root+"/deploy/terraform/modules/data", nil, func(kind, name, key string, b check.Block) map[string]cty.Value {
		if kind == "aws_kms_key" {
			return map[string]cty.Value{"arn": cty.StringVal("key/" + key), "key_id": cty.StringVal(key)}
		}
		return arns(kind, name, key, b)
	})
	require.NoError(t, err)
	for _, table := range m.Resources["aws_dynamodb_table"]["this"] {
		assert.Equal(t, "key/data", table.Blocks["server_side_encryption"][0].Text("kms_key_arn"))
	}
	bucket := m.Resources["aws_s3_bucket_server_side_encryption_configuration"]["archive"][""].Blocks["rule"][0]
	assert.Equal(t, "key/archive", bucket.Blocks["apply_server_side_encryption_by_default"][0].Text("kms_master_key_id"))
}
