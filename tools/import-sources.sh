#!/usr/bin/env bash
# import-sources.sh: the tools that people come from, as they are today, for the slow tests: into build/import-sources,
# an environment of its own (a minute, 600 MB), because they want other versions of what we need as well.
set -euo pipefail
cd "$(dirname "$0")/.."
place=build/import-sources
packages=(dvc mlflow-skinny sqlalchemy alembic huggingface_hub)
[ "$(cat "$place/.ready" 2>/dev/null)" = "${packages[*]}" ] && exit 0
echo "Installing ${packages[*]} into $place (once) …"
"${VENV:-.venv}/bin/python" -m venv --clear "$place"
if ! "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${packages[@]}"; then
    echo "Not installed: ${packages[*]}." >&2
    [ "${CI:-}" != true ] || exit 3
    echo "Going on without; the tests that need it say so." >&2
    exit 0
fi
echo "${packages[*]}" >"$place/.ready"
