# The scheduled jobs: one image, `python -m fmops.jobs.<name>` for each. Built by `cdk deploy`, for x86-64: SageMaker Processing
# has no other processors.
FROM public.ecr.aws/docker/library/python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY requirements/jobs.txt requirements/
RUN pip install --require-hashes --only-binary=:all: -r requirements/jobs.txt \
 && python -m compileall -q /usr/local/lib/python3.13/site-packages

COPY fmops/ fmops/
RUN python -m compileall -q fmops

# Jobs read and write S3 and /tmp alone.
RUN useradd --uid 10001 --no-create-home fmops
USER 10001
ENV MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true GIT_PYTHON_REFRESH=quiet MPLCONFIGDIR=/tmp
