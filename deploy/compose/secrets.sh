#!/usr/bin/env bash
# Creates what compose.yaml reads as secrets, with random values: deploy/compose/secrets.sh [FOLDER]
# A file that exists is kept, so that it can run again after an update that needs more files.
set -euo pipefail
folder=${1:-secrets}

umask 077
mkdir -p "$folder"
keep() { # NAME: writes standard input to a file that does not exist yet
  cat >"$folder/.new"
  if [ -e "$folder/$1" ]; then rm "$folder/.new"; else mv "$folder/.new" "$folder/$1"; fi
}
random() { openssl rand -hex 32; } # safe in an address, too
value() { cat "$folder/$1"; }

random | keep jobwright_key
random | keep jobwright_admin_password
random | keep jobwright_metrics_token
openssl rand -base64 756 | keep mongo_keyfile
random | keep mongo_root_password
random | keep mongo_password
echo "mongodb://jobwright:$(value mongo_password)@mongo:27017/?replicaSet=rs0&authSource=jobwright" | keep mongodb_uri
random | keep redis_password
echo "redis://:$(value redis_password)@redis:6379/0" | keep celery_broker_url
random | keep nats_password
echo "nats://jobwright:$(value nats_password)@nats:4222" | keep nats_url
keep nats_config <<CONFIG
http: "127.0.0.1:8222"
jetstream { store_dir: "/data" }
authorization { user: jobwright, password: "$(value nats_password)" }
CONFIG
# The containers read the files as users of their own; the folder keeps other users of this machine out.
chmod 644 "$folder"/*
chmod 700 "$folder"
echo "Secrets are in $folder/. The first sign-in: \$JOBWRIGHT_ADMIN_EMAIL (default: admin@localhost), password in $folder/jobwright_admin_password."
