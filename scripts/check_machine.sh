#!/bin/sh
# Checks a machine before `make setup` installs anything, and names each fault with its fix.
set -u
python=${1:?the Python that make found}
disk_gb=${2:-12}
faults=0
fault() { printf 'error: %s\n  fix: %s\n' "$1" "$2" >&2; faults=$((faults + 1)); }

[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
    fault "this is $(uname -s)-$(uname -m); the lock holds builds for Linux on x86-64" "use such a machine, a VM or a container"

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none)
[ "$version" = 3.12 ] ||
    fault "$python is Python $version; Seedbed needs 3.12 (megatron-core needs >= 3.12, the lock is for 3.12)" \
        "install Python 3.12 (uv python install 3.12, or pyenv install 3.12), then: make setup PYTHON=/path/to/python3.12"

free_gb=$(($(df -Pk . | awk 'NR == 2 {print $4}') / 1048576))
[ -x .venv/bin/python ] || [ "$free_gb" -ge "$disk_gb" ] ||
    fault "$free_gb GB free here; the environment needs $disk_gb GB" "free some space, or clone onto another disk"

[ "$faults" -eq 0 ]
