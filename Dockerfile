# syntax=docker/dockerfile:1
# Two images from one file:
#   docker build -t jobwright:0.1.0 .                                  everything but Celery
#   docker build -t jobwright:0.1.0-celery --target celery .           the same with Celery, for JOBWRIGHT_EXECUTOR=celery
# The workflow .github/workflows/image.yml passes the base image with its digest, as PYTHON_IMAGE=python:…@sha256:….
ARG PYTHON_IMAGE=python:3.13.7-slim-bookworm

FROM ${PYTHON_IMAGE} AS environment
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/jobwright

FROM environment AS build
COPY requirements-runtime.lock ./
RUN /opt/jobwright/bin/pip install --require-hashes --no-deps -r requirements-runtime.lock
RUN --mount=type=bind,target=/src,rw /opt/jobwright/bin/pip install --no-deps --no-build-isolation . \
 && /opt/jobwright/bin/python -m compileall -q /opt/jobwright/lib

# Celery pins other versions of some packages, so it has a lock file and an environment of its own.
FROM environment AS build-celery
COPY requirements-celery.lock ./
RUN /opt/jobwright/bin/pip install --require-hashes --no-deps -r requirements-celery.lock
RUN --mount=type=bind,target=/src,rw /opt/jobwright/bin/pip install --no-deps --no-build-isolation . \
 && /opt/jobwright/bin/python -m compileall -q /opt/jobwright/lib

FROM ${PYTHON_IMAGE} AS runtime
RUN apt-get update \
 && apt-get install -y --no-install-recommends fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --create-home jobwright
COPY --chmod=0755 deploy/image/healthcheck.py /usr/local/bin/jobwright-healthcheck
ENV PATH=/opt/jobwright/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 PORT=8080 JOBWRIGHT_HEALTH_PORT=8081 JOBWRIGHT_DATA_DIR=/data JOBWRIGHT_LOG_FORMAT=json
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=2s CMD ["python", "/usr/local/bin/jobwright-healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["jobwright"]
CMD ["serve"]

FROM runtime AS celery
COPY --from=build-celery /opt/jobwright /opt/jobwright

FROM runtime AS jobwright
COPY --from=build /opt/jobwright /opt/jobwright
