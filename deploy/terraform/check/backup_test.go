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
)

// backup returns the module backup, which copies the log into a vault of another account and region.
func backup(t *testing.T) *check.Module {
	t.Helper()
	m := evaluate(t, "modules/backup", map[string]cty.Value{
		"log":       cty.ObjectVal(map[string]cty.Value{"arn": cty.StringVal(copied), "kms_key_arn": cty.StringVal("key/data")}),
		"vault_arn": cty.StringVal(copies),
	})
	require.Empty(t, m.Blind)
	return m
}

// backupAccount returns the example that is applied in the account of the copies.
func backupAccount(t *testing.T) *check.Module {
	t.Helper()
	folder := root + "/deploy/terraform/examples/backup-account"
	m, err := check.Evaluate(folder, map[string]cty.Value{
		"region": cty.StringVal("eu-west-1"), "source_accounts": cty.SetVal([]cty.Value{cty.StringVal("123456789012")}),
	}, func(kind, name, key string, b check.Block) map[string]cty.Value {
		if kind == "aws_caller_identity" {
			return map[string]cty.Value{"account_id": cty.StringVal(keeping)}
		}
		return arns(kind, name, key, b)
	})
	require.NoError(t, err)
	require.Empty(t, m.Blind)
	return m
}

// TestBackupsTouchTheLogAndItsCopiesAlone: the role of AWS Backup reads the log, writes tables named after it, and copies into the vaults
// that are meant and no others.
func TestBackupsTouchTheLogAndItsCopiesAlone(t *testing.T) {
	t.Parallel()
	m := backup(t)
	assert.Equal(t, []string{copied}, check.Strings(m.Resources["aws_backup_selection"]["this"][""].Attributes["resources"]))
	for module, vaults := range map[*check.Module][]string{
		m:                {"aws_backup_vault/this", copies},
		backupAccount(t): {"aws_backup_vault/this", "arn:aws:backup:*:123456789012:backup-vault:*leftfold"},
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
	for from, m := range map[string]*check.Module{keeping: backup(t), "123456789012": backupAccount(t)} {
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
	for name, m := range map[string]*check.Module{"backup": backup(t), "backup-account": backupAccount(t)} {
		policy := m.Data["aws_iam_policy_document"]["key"][""]
		for _, account := range []string{"123456789012", keeping} {
			for _, region := range []string{"eu-central-1", "eu-west-1"} {
				use := keyUse{action: "kms:CreateGrant", service: "backup." + region + ".amazonaws.com"}
				use.principal = of(account, "role/leftfold/leftfold-backup")
				assert.True(t, use.allowed(t, policy), "%s: %+v", name, use)
				use.principal = of(account, "role/developer")
				if name == "backup" || account != keeping { // the account of the copies trusts its own IAM
					assert.False(t, use.allowed(t, policy), "%s: %+v", name, use)
				}
			}
			for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"} {
				assert.True(t, keyUse{principal: of(account, service), action: action}.allowed(t, policy), "%s: %s of %s", name, action, account)
			}
			task := keyUse{principal: of(account, "role/leftfold/broker-task"), action: "kms:Decrypt"}
			assert.False(t, name == "backup" && task.allowed(t, policy), "%s: %+v", name, task)
		}
		for _, role := range []string{service, "role/leftfold/leftfold-backup", "root"} {
			stranger := keyUse{principal: of("111111111111", role), action: "kms:Decrypt", service: "backup.eu-west-1.amazonaws.com"}
			assert.False(t, stranger.allowed(t, policy), "%s: %+v", name, stranger)
		}
	}
}
