# The rules for Terraform itself, built into tflint. The AWS ruleset needs `tflint --init`:
# https://github.com/terraform-linters/tflint-ruleset-aws
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# Modules have outputs.tf, variables.tf and versions.tf; their other files are named for what is in them.
rule "terraform_standard_module_structure" {
  enabled = false
}
