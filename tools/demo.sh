#!/bin/sh
# `make demo`: build, serve the built-in model, ask it a question, say how to go on.
# ONCE=1 stops after the answer; DEPS=0 only names what is missing.
set -eu
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-/usr/bin/python3}
command -v "$PYTHON" >/dev/null 2>&1 || PYTHON=python3

mkdir -p build
echo "Building build/kontor ..."
make --no-print-directory build/kontor >build/demo-build.log 2>&1 || {
    tail -n 40 build/demo-build.log >&2
    exit 1
}
exec "$PYTHON" tools/demo.py
