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

const (
	copied  = "arn:aws:dynamodb:eu-central-1:123456789012:table/EventLog"
	keeping = "999999999999" // the account of the copies
	copies  = "arn:aws:backup:eu-west-1:" + keeping + ":backup-vault:leftfold"
	origins = "arn:aws:backup:*:123456789012:backup-vault:*leftfold"
)

// vault returns the module vault as an account has it.
func vault(t *testing.T, account string, vars map[string]cty.Value) *check.Module {
	t.Helper()
	known := func(kind, name, key string, b check.Block) map[string]cty.Value {
		if kind == "aws_caller_identity" {
			return map[string]cty.Value{"account_id": cty.StringVal(account)}
		}
		return arns(kind, name, key, b)
	}
	m, err := check.Evaluate(root+"/deploy/terraform/modules/vault", vars, known)
	require.NoError(t, err)
	require.Empty(t, m.Blind)
	return m
}

func texts(values ...string) cty.Value {
	var list []cty.Value
	for _, v := range values {
		list = append(list, cty.StringVal(v))
	}
	return cty.ListVal(list)
}

// vaultOfTheLog is the vault of the module backup, which copies the log into one of another account and region.
func vaultOfTheLog(t *testing.T) *check.Module {
	t.Helper()
	m := evaluate(t, "modules/backup", map[string]cty.Value{
		"log":       cty.ObjectVal(map[string]cty.Value{"arn": cty.StringVal(copied), "kms_key_arn": cty.StringVal("key/data")}),
		"vault_arn": cty.StringVal(copies),
	})
	require.Contains(t, m.Locals, "rights", "%v", m.Blind)
	return vault(t, "123456789012", map[string]cty.Value{
		"role": cty.StringVal("leftfold-backup"), "partners": texts(copies), "rights": m.Locals["rights"], "key_users": texts("leftfold-deploy"),
	})
}

// vaultOfCopies is that of the account that keeps them.
func vaultOfCopies(t *testing.T) *check.Module {
	t.Helper()
	return vault(t, keeping, map[string]cty.Value{
		"role": cty.StringVal("leftfold-return"), "partners": texts(origins), "key_users": texts("Administrator"),
	})
}

// TestBackupsTouchTheLogAndItsCopiesAlone: the role of AWS Backup reads the log, writes tables named after it, and copies into the vaults
// that are meant and no others.
func TestBackupsTouchTheLogAndItsCopiesAlone(t *testing.T) {
	t.Parallel()
	for module, vaults := range map[*check.Module][]string{
		vaultOfTheLog(t): {"aws_backup_vault/this", copies},
		vaultOfCopies(t): {"aws_backup_vault/this", origins},
	} {
		role := module.Resources["aws_iam_role"]["this"][""]
		assert.Equal(t, "/leftfold/", role.Text("path"), "its rights are bounded")
		statements := module.Data["aws_iam_policy_document"]["this"][""].Blocks["statement"]
		assert.NotEmpty(t, statements)
		for _, statement := range statements {
			resources := check.Strings(statement.Attributes["resources"])
			for _, action := range check.Strings(statement.Attributes["actions"]) {
				switch {
				case slices.Contains([]string{"dynamodb:StartAwsBackupJob", "dynamodb:ListTagsOfResource"}, action):
					assert.Equal(t, []string{copied}, resources, action)
				case action == "dynamodb:DescribeTable":
					assert.Contains(t, []string{copied, copied + "-*"}, resources[0], action)
				case strings.HasPrefix(action, "dynamodb:"):
					assert.Equal(t, []string{copied + "-*"}, resources, "%s: the log itself is not written", action)
				case action == "backup:CopyFromBackupVault":
					condition := statement.Blocks["condition"][0]
					assert.Equal(t, "backup:CopyTargets", condition.Text("variable"))
					assert.Equal(t, vaults[1:], check.Strings(condition.Attributes["values"]))
				case action == "backup:CopyIntoBackupVault", action == "backup:DescribeBackupVault":
					assert.ElementsMatch(t, vaults, resources, action)
				default:
					assert.NotContains(t, resources, "*", action)
				}
			}
		}
	}
}

// TestVaultsTakeCopiesAndNothingElse from the other account.
func TestVaultsTakeCopiesAndNothingElse(t *testing.T) {
	t.Parallel()
	for from, m := range map[string]*check.Module{keeping: vaultOfTheLog(t), "123456789012": vaultOfCopies(t)} {
		statements := m.Data["aws_iam_policy_document"]["vault"][""].Blocks["statement"]
		require.Len(t, statements, 1)
		assert.Equal(t, []string{"backup:CopyIntoBackupVault"}, check.Strings(statements[0].Attributes["actions"]))
		by := statements[0].Blocks["principals"][0].Attributes["identifiers"]
		assert.Equal(t, []string{"arn:aws:iam::" + from + ":root"}, check.Strings(by))
	}
}

// TestKeysOfVaultsAreUsedByAWSBackupAlone: of both accounts, since the account that is copied to makes the copy. Nobody else reads one.
func TestKeysOfVaultsAreUsedByAWSBackupAlone(t *testing.T) {
	t.Parallel()
	const service = "role/aws-service-role/backup.amazonaws.com/AWSServiceRoleForBackup"
	of := func(account, role string) string { return "arn:aws:iam::" + account + ":" + role }
	for home, m := range map[string]*check.Module{"123456789012": vaultOfTheLog(t), keeping: vaultOfCopies(t)} {
		policy := m.Data["aws_iam_policy_document"]["key"][""]
		for _, account := range []string{"123456789012", keeping} {
			use := keyUse{principal: of(account, "role/leftfold/leftfold-backup"), action: "kms:CreateGrant"}
			assert.False(t, use.allowed(t, policy), "%s: %+v", home, use)
			for _, region := range []string{"eu-central-1", "eu-west-1"} {
				use.service = "backup." + region + ".amazonaws.com"
				assert.True(t, use.allowed(t, policy), "%s: %+v", home, use)
			}
			for _, role := range []string{"role/developer", "root"} {
				use.principal = of(account, role)
				assert.False(t, use.allowed(t, policy), "%s: %+v", home, use)
			}
			for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"} {
				assert.True(t, keyUse{principal: of(account, service), action: action}.allowed(t, policy), "%s: %s of %s", home, action, account)
			}
			manage := keyUse{principal: of(account, "root"), action: "kms:PutKeyPolicy"}
			assert.Equal(t, account == home, manage.allowed(t, policy), "%s: %+v", home, manage)
		}
		for _, role := range []string{service, "role/leftfold/leftfold-backup", "root"} {
			stranger := keyUse{principal: of("111111111111", role), action: "kms:Decrypt", service: "backup.eu-west-1.amazonaws.com"}
			assert.False(t, stranger.allowed(t, policy), "%s: %+v", home, stranger)
		}
	}
}
