# The rules of Terraform itself, which tflint brings along. Those of the AWS ruleset are one `tflint --init` away:
# https://github.com/terraform-linters/tflint-ruleset-aws
plugin "terraform" {
  enabled = true
  preset  = "all"
}

# A module's outputs, variables and provider requirements stand where a reader looks for them; what a module is for
# decides how its other files are cut.
rule "terraform_standard_module_structure" {
  enabled = false
}
