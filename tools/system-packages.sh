#!/usr/bin/env bash
# system-packages.sh NAME…: see that programs outside Python are there; the one place that installs any.
# As root on Debian or Ubuntu a missing one is installed; elsewhere it is named. With CI=true a missing one fails.
set -euo pipefail

# Headers as well: a compiler alone cannot compile.
can_compile() {
    local name
    for name in cc gcc clang; do
        echo '#include <string.h>' | "$name" -x c -fsyntax-only - 2>/dev/null && return
    done
    return 1
}

# The bare programs, from which the tests start servers of their own; the package mariadb-server would start one for all.
has_mariadb() {
    local PATH=$PATH:/usr/sbin:/usr/local/sbin
    [ "$(uname -s)" != Linux ] ||
        { command -v mariadbd && command -v mariadb-install-db && command -v my_print_defaults; } >/dev/null
}

missing=()
for name in "$@"; do
    case $name in
        cc) can_compile || missing+=(gcc libc6-dev) ;;
        strace) [ "$(uname -s)" != Linux ] || command -v strace >/dev/null || missing+=(strace) ;;
        mariadbd) has_mariadb || missing+=(mariadb-server-core mariadb-client-core) ;;
        kubectl) [ "$(uname -s)" != Linux ] || command -v kubectl >/dev/null || missing+=(kubernetes-client) ;;
        systemd-analyze) [ "$(uname -s)" != Linux ] || command -v systemd-analyze >/dev/null || missing+=(systemd) ;;
        python3-venv) missing+=(python3-venv) ;;
        *) command -v "$name" >/dev/null || missing+=("$name") ;;
    esac
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${missing[*]} …"
    export DEBIAN_FRONTEND=noninteractive
    if { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null; then
        exit 0
    fi
fi

echo "Not installed: ${missing[*]}. On Debian or Ubuntu: sudo apt-get install ${missing[*]}" >&2
case " ${missing[*]} " in
    *' python3-venv '*) exit 3 ;;
esac
[ "${CI:-}" != true ] || exit 3
echo "Going on without; the tests that need it say so." >&2
