#!/usr/bin/env bash
# Installs everything into .venv, in numbered steps: scripts/setup.sh PYTHON
set -euo pipefail
python=$1
bin=.venv/bin

say() { echo "$*" >&2; }
# Says what a step does, and runs it. What it prints is shown only if it fails.
step() {
  local words=$1 log
  shift
  log=$(mktemp)
  say "  $words"
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    say "Set-up failed in this step: $words"
    exit 1
  fi
  rm -f "$log"
}
pip() { "$bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
  say "Jobwright needs Python 3.11 or newer. $python is $("$python" --version 2>&1 || true). Name another one: make setup PYTHON=python3.12"
  exit 1
}
packages=$(grep -c '==' requirements.lock)
say "Setting up Jobwright in .venv, once. It takes one to two minutes, or longer with a slow network or a busy machine."
SECONDS=0
step "1/4 Check system packages" scripts/system-packages.sh runtime
if [ ! -x "$bin/python" ]; then
  step "2/4 Create the Python environment" "$python" -m venv .venv
else
  say "  2/4 Create the Python environment: it is there already"
fi
step "3/4 Download and install $packages Python packages (most of the time)" pip --require-hashes --no-deps -r requirements.lock
step "4/4 Install Jobwright" pip --no-deps --no-build-isolation --editable .
"$bin/python" -m compileall -q app web templates_lib migrations_scripts
say "Set-up took $SECONDS seconds."
