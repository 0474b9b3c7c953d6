"""The local run: synthesized templates deployed into the local AWS, and what ECS and Lambda would start as
processes."""
