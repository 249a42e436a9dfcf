#!/bin/sh
# `make java`: installs a Java runtime by the package manager of the system, where there is none
# of version 17 or later.
set -eu
major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
if [ "${major:-0}" -ge 17 ]; then exit 0; fi
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
if command -v apt-get >/dev/null; then
    as_root apt-get update -qq
    as_root apt-get install -y -qq openjdk-17-jre-headless || as_root apt-get install -y -qq default-jre-headless
elif command -v dnf >/dev/null; then
    as_root dnf install -y java-17-openjdk-headless || as_root dnf install -y java-21-openjdk-headless
else
    echo 'error: no apt-get and no dnf here' >&2
    echo '  fix: install a Java runtime 17 or later by hand and set JAVA_HOME' >&2
    exit 2
fi
java -version
