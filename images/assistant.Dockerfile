# The assistant, for ECS and for Lambda. Built by `cdk deploy` for the architecture of `assistant.architecture`.
# The same collector as beside a task: observability.collector_image.
ARG COLLECTOR_IMAGE
FROM ${COLLECTOR_IMAGE} AS collector
FROM public.ecr.aws/awsguru/aws-lambda-adapter:1.0.0 AS adapter

FROM public.ecr.aws/docker/library/python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY requirements/assistant.txt requirements/
RUN pip install --require-hashes --only-binary=:all: -r requirements/assistant.txt \
 && python -m compileall -q /usr/local/lib/python3.13/site-packages

COPY fmops/ fmops/
RUN python -m compileall -q fmops

# Lambda starts what is in /opt/extensions before the application: the adapter, which makes HTTP requests of its events, and the
# collector. ECS starts neither.
COPY --from=adapter /lambda-adapter /opt/extensions/lambda-adapter
COPY --from=collector /awscollector /opt/aws-otel-collector/awscollector
COPY --chmod=755 observability/collector/extension.py /opt/extensions/otel-collector
COPY observability/__init__.py observability/
COPY observability/collector/*.yaml observability/collector/template.py observability/collector/__init__.py observability/collector/

# The root file system is read-only in the task: Fargate gives a volume the owner that its directory has here.
RUN useradd --uid 10001 --no-create-home fmops && install -d -o fmops -g fmops /var/spool/fmops
VOLUME ["/var/spool/fmops", "/tmp"]

USER 10001
EXPOSE 8080
CMD ["python", "-m", "fmops.assistant"]
