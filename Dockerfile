# The assistant. Built by `cdk deploy` for the architecture of `assistant.architecture`.
FROM public.ecr.aws/docker/library/python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app
COPY requirements-assistant.txt .
RUN pip install --require-hashes --only-binary=:all: -r requirements-assistant.txt \
 && python -m compileall -q /usr/local/lib/python3.13/site-packages

COPY fmops/ fmops/
RUN python -m compileall -q fmops

# The root file system is read-only in the task: Fargate gives a volume the owner that its directory has here.
RUN useradd --uid 10001 --no-create-home fmops && install -d -o fmops -g fmops /var/spool/fmops
VOLUME ["/var/spool/fmops", "/tmp"]

USER 10001
EXPOSE 8080
CMD ["python", "-m", "fmops.assistant"]
