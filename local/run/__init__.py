"""The local run: synthesized templates deployed into the local AWS, and processes in place of ECS tasks
and Lambda functions."""
