#!/bin/sh
# Compile for aarch64 what needs no foreign libraries, with the warnings of the build as errors:
# proof that nothing there leans on x86.  Needs gcc-aarch64-linux-gnu.
set -eu
cd "$(dirname "$0")/.."

CC=aarch64-linux-gnu-gcc
command -v $CC >/dev/null 2>&1 || {
    echo "$CC is missing: apt-get install -y gcc-aarch64-linux-gnu" >&2
    exit 1
}
warnings=$(sed -n "s/^  '\(-W[a-z=0-9-]*\|-fno-common\)',.*/\1/p" meson.build | tr '\n' ' ')
out=build/aarch64
mkdir -p $out
n=0
for file in src/base/*.c src/chat/*.c src/text/*.c src/compute/*.c src/compute/cpu/*.c \
    src/model/*.c src/engine/*.c; do
    [ -e "$file" ] || continue
    case $file in
    *_avx2.c | *_avx512.c | *_avx512bf16.c | *_amx.c | *_sse*.c) continue ;; # x86 only, by name
    src/base/hash.c) continue ;; # needs OpenSSL's headers for SHA-256
    esac
    $CC -std=gnu17 -D_GNU_SOURCE -O2 -Wall -Wextra -Wpedantic $warnings -Werror -Isrc -c "$file" \
        -o "$out/$(echo "$file" | tr / _).o"
    n=$((n + 1))
done
echo "$n files compile for aarch64"
