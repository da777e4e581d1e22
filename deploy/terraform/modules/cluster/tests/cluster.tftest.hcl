mock_provider "aws" {
  source = "../../mocks"
}

run "fargate" {
  command = apply

  variables {
    name = "leftfold"
  }

  assert {
    condition     = contains(aws_ecs_cluster_capacity_providers.this.capacity_providers, "FARGATE_SPOT") && output.name == "leftfold"
    error_message = "Tasks may run on Fargate and Fargate Spot."
  }
}
