#!/usr/bin/env bash
# run-tests.sh PYTEST-ARGUMENTS: run pytest and leave its exit code in build/pytest-status for whoever asks make.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
mkdir -p build
rm -f build/pytest-status
"${VENV:-.venv}/bin/python" -m pytest "$@"
status=$?
echo "$status" >build/pytest-status
exit "$status"
