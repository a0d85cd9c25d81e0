#!/usr/bin/env bash
# environment.sh demo|test|dev: make the virtual environment ready. Does nothing when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."

extra=$1
venv=${VENV:-.venv}

# A Python that runs and is new enough; the ones we test with go first.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Lepton AI needs Python 3.11, 3.12 or 3.13; none was found. Install one, or say: make PYTHON=/path/to/python3" >&2
    exit 3
}

# What the environment was made from: when this is the same, it is up to date.
key() {
    local kernel=src/lepton_ai/store/codecs/native compiler
    compiler=${CC:-$(command -v cc || command -v gcc || command -v clang || true)}
    "$venv/bin/python" - "$1" "$compiler" pyproject.toml tools/environment.sh hatch_build.py $kernel/*.[ch] <<'PY'
import hashlib, pathlib, sys
digest = hashlib.sha256(repr((sys.version, sys.prefix, sys.argv[1:3])).encode())
for name in sys.argv[3:]:
    digest.update(pathlib.Path(name).read_bytes())
print(digest.hexdigest())
PY
}

is_ready() {
    [ -f "$venv/.ready-$1" ] && [ "$(cat "$venv/.ready-$1")" = "$(key "$1")" ]
}

install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    "$python" -c 'import ensurepip' 2>/dev/null || tools/system-packages.sh python3-venv
    echo "Making the virtual environment $venv with $("$python" --version) …"
    "$python" -m venv --clear "$venv"
fi

case $extra in
    demo) is_ready demo || is_ready test || is_ready dev || {
        echo "Installing Lepton AI, scikit-learn and ONNX into $venv (once, about half a minute) …"
        install --editable '.[demo]'
        key demo >"$venv/.ready-demo"
    } ;;
    test | dev) is_ready "$extra" || is_ready dev || {
        echo "Installing Lepton AI and everything that its tests need into $venv (once, some minutes) …"
        # This exact version first: asked for any other way, pip on Linux also fetches gigabytes of CUDA libraries.
        install 'torch==2.13.0'
        install --editable ".[$extra]"
        key "$extra" >"$venv/.ready-$extra"
    } ;;
    *) echo "environment.sh: demo, test or dev, not '$extra'" >&2; exit 2 ;;
esac
