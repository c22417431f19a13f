#!/bin/sh
# `make install`: the program, its share folder (built-in model, presets, pages), the man page.
#   DESTDIR, PREFIX (default /usr/local)
set -eu
cd "$(dirname "$0")/.."

prefix=${PREFIX:-/usr/local}
root=${DESTDIR:-}$prefix

[ -x build/kontor ] || { echo "build/kontor is missing: run make first" >&2; exit 1; }
install -d "$root/bin" "$root/share/kontor"
install -m 755 build/kontor "$root/bin/kontor"
if [ -d share ]; then
    (cd share && find . -type f ! -name '.*') | while read -r file; do
        install -D -m 644 "share/$file" "$root/share/kontor/${file#./}"
    done
fi
if [ -d conf ]; then
    (cd conf && find . -type f ! -name '.*') | while read -r file; do
        install -D -m 644 "conf/$file" "$root/share/doc/kontor/${file#./}"
    done
fi
for page in docs/man/*.1 build/man/*.1; do
    [ -e "$page" ] && install -D -m 644 "$page" "$root/share/man/man1/${page##*/}"
done
echo "installed in $root"
