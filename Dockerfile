# syntax=docker/dockerfile:1
FROM python:3.13-slim-bookworm AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/jobwright
COPY requirements-runtime.lock pyproject.toml README.md ./
RUN /opt/jobwright/bin/pip install --require-hashes --no-deps -r requirements-runtime.lock
COPY app app
COPY web web
COPY docs docs
COPY templates_lib templates_lib
COPY migrations_scripts migrations_scripts
RUN /opt/jobwright/bin/pip install --no-deps --no-build-isolation . \
 && /opt/jobwright/bin/python -m compileall -q /opt/jobwright/lib

FROM python:3.13-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /data --create-home jobwright
COPY --from=build /opt/jobwright /opt/jobwright
ENV PATH=/opt/jobwright/bin:$PATH PYTHONUNBUFFERED=1 HOST=0.0.0.0 PORT=8080 JOBWRIGHT_DATA_DIR=/data JOBWRIGHT_LOG_FORMAT=json
USER jobwright
WORKDIR /data
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/ready', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["jobwright"]
CMD ["serve"]
