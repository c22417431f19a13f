#!/bin/sh
# `make test-fresh`: a bookworm tree made by debootstrap, a clean clone in it, `make demo ONCE=1`
# and `make test` there.  Proves that the two commands of the README need nothing of this machine.
# Root.
#   MIRROR   Debian mirror (default: what apt uses here)
set -eu
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || { echo "make test-fresh needs root (debootstrap, chroot)" >&2; exit 1; }
fresh=$PWD/build/fresh
base=$PWD/build/fresh-base.tar
mirror=${MIRROR:-$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \([^ []*\) .*/\1/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list \
    2>/dev/null | grep -v security | head -n 1)}

unmount() {
    for folder in proc dev/pts dev sys; do
        umount "$fresh/$folder" 2>/dev/null || true
    done
}
trap unmount EXIT
unmount
rm -rf --one-file-system "$fresh"
mkdir -p "$fresh"

# The bare system and line 0 of the README are kept, since they do not change with the clone.
if [ ! -e "$base" ]; then
    debootstrap --variant=minbase --include=ca-certificates bookworm "$fresh" "$mirror"
    mkdir -p "$fresh/etc/apt/apt.conf.d"
    cp /etc/apt/apt.conf.d/*proxy* "$fresh/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /etc/resolv.conf "$fresh/etc/resolv.conf" 2>/dev/null || true
    chroot "$fresh" env DEBIAN_FRONTEND=noninteractive sh -c \
        'apt-get update && apt-get install -y git make'
    tar -C "$fresh" -cf "$base.new" .
    mv "$base.new" "$base"
else
    tar -C "$fresh" -xf "$base"
fi

git clone --quiet --no-hardlinks . "$fresh/root/kontor"
mount -t proc proc "$fresh/proc" 2>/dev/null || echo "no /proc in the tree: mount refused" >&2
mount --bind /dev "$fresh/dev" 2>/dev/null || echo "no /dev in the tree: mount refused" >&2

inside() {
    echo "== in the fresh tree: $*"
    chroot "$fresh" env -i HOME=/root LANG=C.UTF-8 CI="${CI:-}" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        sh -c "cd /root/kontor && $*"
}
inside make demo ONCE=1
inside make test
echo "fresh Debian 12: demo and test pass"
