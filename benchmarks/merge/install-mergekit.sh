#!/usr/bin/env bash
# install-mergekit.sh [FOLDER]: install mergekit 0.1.5 into a virtual environment (default build/merge/mergekit) and
# print its Python. The benchmark compares with it; nothing of it is used otherwise.
set -euo pipefail
cd "$(dirname "$0")/../.."

folder=${1:-build/merge/mergekit}
if [ ! -e "$folder/.ready" ]; then
    "${PYTHON:-python3}" -m venv --clear "$folder" >&2
    # torch in this exact version first: asked for any other way, pip on Linux also fetches gigabytes of CUDA libraries.
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check mergekit==0.1.5 >&2
    touch "$folder/.ready"
fi
echo "$PWD/$folder/bin/python"
