# The Spark engine of the embedding analysis on EMR Serverless (`analysis.engine`). Spark is the base image's, and of the version that
# requirements/spark.in tests with; Python and the packages are ours. Built by `cdk deploy`, for x86-64.
FROM public.ecr.aws/emr-serverless/spark/emr-7.11.0:latest

USER root
RUN dnf install -y python3.11 python3.11-pip && dnf clean all

COPY requirements/spark-image.txt /app/requirements/
RUN python3.11 -m pip install --no-cache-dir --require-hashes --only-binary=:all: -r /app/requirements/spark-image.txt

COPY fmops/ /app/fmops/
# By a path file and no variable: drivers and workers find the package, however Spark starts them.
RUN python3.11 -c "import site; open(site.getsitepackages()[0] + '/fmops.pth', 'w').write('/app')" \
 && python3.11 -m compileall -q /app/fmops

USER hadoop:hadoop
