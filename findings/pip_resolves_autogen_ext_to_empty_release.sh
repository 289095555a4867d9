#!/usr/bin/env bash
# pip 26.3 with autogen-ext (newest 0.7.5) and langchain-core 1.8.3: asking for an extra installs an empty package.
#
# No release of autogen-ext with a `langchain` extra accepts this langchain-core, but the resolver does not fail.
# It walks back to release 0.0.1, which has no such extra, and drops the extra with a warning. That wheel's code is
# one file of 21 bytes. The command succeeds, and only a later import shows that nothing is there.
# Without the extra the same command chooses 0.7.5.
#
# Seen:
#   autogen-ext: 0.7.5
#   autogen-ext[langchain]: 0.0.1
#   WARNING: autogen-ext 0.0.1 does not provide the extra 'langchain'
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet pip==26.3

resolve() { # REQUIREMENT: the version of autogen-ext that pip would install; its warnings go to "$work/warnings"
    "$work/venv/bin/pip" install --dry-run --quiet --report "$work/report.json" "$1" langchain-core==1.8.3 \
        2>"$work/warnings" || { cat "$work/warnings" >&2; return 1; }
    "$work/venv/bin/python" -I - "$work/report.json" <<'EOF'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as report:
    packages = [item["metadata"] for item in json.load(report)["install"]]
print(*(package["version"] for package in packages if package["name"] == "autogen-ext"))
EOF
}

plain=$(resolve autogen-ext)
extra=$(resolve 'autogen-ext[langchain]')
echo "autogen-ext: $plain"
echo "autogen-ext[langchain]: $extra"
grep "does not provide the extra" "$work/warnings" || true
if [ "$plain" = "$extra" ] || [ "$extra" != 0.0.1 ]; then
    echo "The behaviour changed: the extra should resolve to 0.0.1, the plain name to a newer release." >&2
    exit 1
fi
