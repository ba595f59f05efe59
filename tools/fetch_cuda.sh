#!/bin/bash
# fetch_cuda.sh FOLDER: the CUDA compiler that tools/cuda-packages.txt names, unpacked into FOLDER
# (some 350 MB) unless it is there. FOLDER appears only when it is whole.
set -euo pipefail

folder=$1
packages=$(dirname "$(readlink -f "$0")")/cuda-packages.txt
cmp -s "$packages" "$folder/packages.txt" && exit 0

mkdir -p "$(dirname "$folder")"
scratch=$(mktemp -d -p "$(dirname "$folder")")
trap 'rm -rf "$scratch"' EXIT
echo "Fetching the CUDA compiler (125 MB) from PyPI ..." >&2
python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes --no-cache-dir \
  --disable-pip-version-check --no-input -d "$scratch/wheels" -r "$packages" >&2 || {
  echo "The CUDA compiler could not be fetched. Without it, build the release preset." >&2
  exit 1
}
for wheel in "$scratch"/wheels/*.whl; do
  python3 -I -m zipfile -e "$wheel" "$scratch/tree"
done
chmod +x "$scratch"/tree/nvidia/cu13/bin/* "$scratch"/tree/nvidia/cu13/nvvm/bin/*
cp "$packages" "$scratch/tree/nvidia/cu13/packages.txt"
rm -rf "$folder"
mv "$scratch/tree/nvidia/cu13" "$folder"
