#!/usr/bin/env bash
# azurite.sh: Azure's blob store for the slow tests, into build/azurite (36 s, 190 MB). Without npm it goes on without.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -x build/azurite/node_modules/.bin/azurite-blob ] && exit 0
if ! command -v npm >/dev/null; then
    echo "Not installed: npm. Going on without Azure's blob store; the tests that need it say so." >&2
    exit 0
fi
mkdir -p build/azurite
npm install --prefix build/azurite --silent --no-fund --no-audit azurite@3
