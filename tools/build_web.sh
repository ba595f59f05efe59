#!/bin/bash
# build_web.sh WEB OUT: builds the chat app of the folder WEB in the folder OUT; OUT/dist is what a
# browser loads. Packages are fetched by npm, in the versions of the lockfile, when it has changed.
set -euo pipefail

web=$1 out=$2
mkdir -p "$out"
for name in src public tools index.html package.json package-lock.json vite.config.ts tsconfig.json svelte.config.js; do
  if [[ -e $web/$name ]]; then
    rm -rf "${out:?}/$name"
    cp -r "$web/$name" "$out/$name"
  fi
done
cd "$out"
lock=$(sha256sum package-lock.json)
if [[ ! -d node_modules || $(cat node_modules/.lock-digest 2>/dev/null) != "$lock" ]]; then
  npm ci --no-audit --no-fund --loglevel=error
  printf '%s\n' "$lock" >node_modules/.lock-digest
fi
npm run --silent build
