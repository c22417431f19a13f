#!/bin/sh
# Name what is missing to build or test, and install it where that is possible.
#
#   tools/deps.sh [--install] PURPOSE...      PURPOSE: build test check fuzz peers fresh
#
# Looks for commands and headers, never for packages, so that anything the user installed otherwise
# counts.  With nothing missing it touches neither apt nor the network.
#   --install  install with apt-get: as root directly, else with sudo, else name and stop
#   DEPS=0     in the environment: name and stop
# A system without apt-get gets the list of libraries.  Exit status: 0 everything there, 1 not.
set -u

install=no
purposes=
for arg in "$@"; do
    case $arg in
    --install) install=yes ;;
    build) purposes="$purposes build" ;;
    test | check | fuzz | peers | fresh) purposes="$purposes build $arg" ;;
    *) echo "tools/deps.sh: unknown purpose \"$arg\"" >&2; exit 2 ;;
    esac
done
[ "${DEPS:-1}" = 0 ] && install=no
export DEBIAN_FRONTEND=noninteractive

# purpose  kind  what to look for          Debian package          what a person calls it
table() {
    cat <<'TABLE'
build cmd  cc|gcc|clang          gcc                   a C17 compiler (gcc 11 or clang 14, or newer)
build hdr  stdio.h               libc6-dev             the C library's headers
build cmd  make                  make                  make
build cmd  meson                 meson                 meson 1.0 or newer
build cmd  ninja                 ninja-build           ninja
build cmd  pkg-config|pkgconf    pkg-config            pkg-config
build cmd  python3               python3               python 3.9 or newer
build lib  libevent_core:event2/event.h  libevent-dev  libevent (core)
build lib  openssl:openssl/evp.h libssl-dev            OpenSSL 3
build lib  jansson:jansson.h     libjansson-dev        jansson
build lib  yaml-0.1:yaml.h       libyaml-dev           libyaml
build lib  sqlite3:sqlite3.h     libsqlite3-dev        SQLite 3 (the ledger)
test  lib  cmocka:cmocka.h       libcmocka-dev         cmocka
test  cmd  openssl               openssl               the openssl command
check cmd  clang                 clang                 clang 14
check cmd  clang-format          clang-format          clang-format 14
check cmd  clang-tidy            clang-tidy            clang-tidy 14
check cmd  git                   git                   git
fuzz  cmd  clang                 clang                 clang 14
fuzz  rt   fuzzer                libclang-rt-14-dev    clang's fuzzer and sanitizer libraries
peers py   ensurepip             python3-venv          python's venv
peers cmd  node|nodejs           nodejs                node 18 or newer
peers cmd  npm                   npm                   npm
peers cmd  nginx|/usr/sbin/nginx  nginx                nginx
fresh cmd  debootstrap           debootstrap           debootstrap
fresh cmd  git                   git                   git
TABLE
}

find_command() {
    for name in $(echo "$1" | tr '|' ' '); do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    return 1
}

find_header() {
    triplet=$(${CC:-cc} -print-multiarch 2>/dev/null || true)
    for folder in /usr/include /usr/local/include ${triplet:+"/usr/include/$triplet"}; do
        [ -e "$folder/$1" ] && return 0
    done
    # a compiler that looks elsewhere
    echo "#include <$1>" | ${CC:-cc} -E - >/dev/null 2>&1
}

# NAME:HEADER - the build asks pkg-config for NAME; before pkg-config is there the header decides
find_library() {
    if find_command 'pkg-config|pkgconf'; then
        pkg-config --exists "${1%%:*}" 2>/dev/null || pkgconf --exists "${1%%:*}" 2>/dev/null
    else
        find_header "${1#*:}"
    fi
}

find_runtime() {
    clang=$(command -v clang) || return 1
    folder=$("$clang" -print-resource-dir)
    [ -n "$(find "$folder" -name "libclang_rt.$1*" 2>/dev/null | head -n 1)" ]
}

is_there() {
    case $1 in
    cmd) find_command "$2" ;;
    hdr) find_header "$2" ;;
    lib) find_library "$2" ;;
    rt) find_runtime "$2" ;;
    py) for p in /usr/bin/python3 python3; do
            command -v "$p" >/dev/null 2>&1 && { "$p" -c "import $2" >/dev/null 2>&1; return $?; }
        done; return 1 ;;
    esac
}

# Sets `packages` and `words` (one thing a line).
look() {
    packages=
    words=
    while read -r purpose kind what package word; do
        case " $purposes " in *" $purpose "*) ;; *) continue ;; esac
        is_there "$kind" "$what" && continue
        case " $packages " in *" $package "*) continue ;; esac
        packages="$packages $package"
        words="$words    $word
"
    done <<TABLE
$(table)
TABLE
    packages=${packages# }
}

apt_install() {
    # the lists of a fresh system are empty or old: update only when the first try fails
    "$@" apt-get install -y $packages || {
        "$@" apt-get update && "$@" apt-get install -y $packages
    }
}

look
[ -z "$packages" ] && exit 0

echo "Missing here:" >&2
printf '%s' "$words" >&2
if ! command -v apt-get >/dev/null 2>&1; then
    echo "This system has no apt-get. Install these with its own package manager, then run this" >&2
    echo "again." >&2
    exit 1
fi
echo "On Debian and its relatives:" >&2
echo "    apt-get install -y $packages" >&2
if [ "$install" = no ]; then
    exit 1
elif [ "$(id -u)" = 0 ]; then
    apt_install env
elif command -v sudo >/dev/null 2>&1; then
    echo "Installing with sudo (DEPS=0 only names them)." >&2
    apt_install sudo env DEBIAN_FRONTEND=noninteractive
else
    echo "Neither root nor sudo: run that line as root, then try again." >&2
    exit 1
fi
look
if [ -n "$packages" ]; then
    echo "Still missing after the installation:" >&2
    printf '%s' "$words" >&2
    exit 1
fi
