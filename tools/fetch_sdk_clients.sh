#!/bin/bash
# fetch_sdk_clients.sh [python|npm]: fetches the clients that the server is tested with, of the
# versions below and of tests/server/sdk/package-lock.json, into build/sdk-venv and build/sdk-npm; with
# the linters of its OpenAPI file and (build/sdk-prometheus, from Debian's package, which is not installed:
# it would start a daemon) of its metrics.
# What is here already is left as it is. What cannot be fetched is named, and the exit status then
# is 1; where there is no npm, its clients are named and left out.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

python_clients=(openai==3.57.0 anthropic==2.14.0 ollama==0.6.3 schemathesis==4.32.5
  openapi-spec-validator==0.9.0)
which=${1:-all} status=0

lacks() {
  echo "The server's tests with $1 will be skipped: $2." >&2
  status=1
}

fetch_python() {
  local folder=build/sdk-venv wanted="${python_clients[*]}"
  [[ -f $folder/.clients && $(<"$folder/.clients") == "$wanted" ]] && return
  rm -rf "$folder"
  if ! python3 -c 'import ensurepip' 2>/dev/null; then
    lacks "Python's clients" "python3-venv is not installed"
    return
  fi
  echo "Fetching the Python clients (60 MB) ..." >&2
  if python3 -m venv "$folder" && "$folder/bin/python" -m pip install --quiet --no-input \
    --disable-pip-version-check "${python_clients[@]}" >&2; then
    echo "$wanted" >"$folder/.clients"
  else
    rm -rf "$folder"
    lacks "Python's clients" "pip could not fetch them"
  fi
}

fetch_npm() {
  local folder=build/sdk-npm source=tests/server/sdk
  if [[ -f $folder/.complete ]] &&
    cmp -s "$source/package-lock.json" "$folder/package-lock.json"; then
    return
  fi
  if ! command -v npm >/dev/null; then
    echo "The server's tests with npm's clients will be skipped: npm is not here." >&2
    return
  fi
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$source/package.json" "$source/package-lock.json" "$folder"
  echo "Fetching the npm clients (140 MB) ..." >&2
  # Their scripts are not run. They want a newer Node than many have, which comes with them.
  if (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --silent >&2); then
    touch "$folder/.complete"
  else
    rm -rf "$folder"
    lacks "npm's clients" "npm could not fetch them"
  fi
}

fetch_promtool() {
  local folder=build/sdk-prometheus
  [[ -x $folder/usr/bin/promtool ]] && return
  if command -v promtool >/dev/null || ! command -v apt-get >/dev/null; then return; fi
  rm -rf "$folder"
  mkdir -p "$folder"
  echo "Fetching the linter of metrics (19 MB) ..." >&2
  if ! (cd "$folder" && apt-get download -qq -o APT::Sandbox::User=root prometheus >&2 && dpkg -x ./*.deb . && rm ./*.deb); then
    rm -rf "$folder"
    lacks "promtool" "apt-get could not fetch Debian's package prometheus"
  fi
}

mkdir -p build
[[ $which == npm ]] || fetch_python
[[ $which == python ]] || fetch_npm
[[ $which != all ]] || fetch_promtool
exit "$status"
