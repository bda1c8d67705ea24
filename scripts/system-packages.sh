#!/usr/bin/env bash
# What pip cannot bring: libcurl4 for the mongod wheel (runtime), Chromium for the browser tests, libfaketime for those of clocks,
# nats-server for those of the bus, redis-server and RabbitMQ for those of Celery, promtool for those of alerts, and proxies and systemd
# for those of deployments (tests).
# Installs with apt where this is root on a Debian; elsewhere says in one line what to install.
set -euo pipefail

missing=()
has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }
if [ "$(uname -s)" = Linux ] && [ -z "${MONGODB_URI:-}" ] && ! command -v mongod >/dev/null; then
  has_library 'libcurl\.so\.4' || missing+=(libcurl4)
fi
if [ "${1:-}" = tests ] && ! command -v chromium >/dev/null; then missing+=(chromium); fi
if [ "${1:-}" = tests ] && [ -z "$(find /usr/lib -name libfaketimeMT.so.1 -print -quit)" ]; then missing+=(libfaketime); fi
if [ "${1:-}" = tests ] && ! command -v promtool >/dev/null; then missing+=(prometheus); fi
if [ "${1:-}" = tests ] && ! command -v nats-server >/dev/null; then missing+=(nats-server); fi
if [ "${1:-}" = tests ] && ! PATH=$PATH:/usr/sbin command -v nginx >/dev/null; then missing+=(nginx-light); fi
if [ "${1:-}" = tests ] && ! PATH=$PATH:/usr/sbin command -v haproxy >/dev/null; then missing+=(haproxy); fi
if [ "${1:-}" = tests ] && ! command -v systemd-analyze >/dev/null; then missing+=(systemd); fi
if [[ "${1:-}" =~ ^(tests|celery)$ ]] && ! command -v redis-server >/dev/null; then missing+=(redis-server); fi
if [ "${1:-}" = tests ] && [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && ! command -v rabbitmq-server >/dev/null; then missing+=(rabbitmq-server); fi
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "Install: ${missing[*]} (Debian and Ubuntu: sudo apt-get install ${missing[*]})" >&2
  exit 1
fi
