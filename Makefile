# A thin front of meson: every target is one or two commands.  All output is under build/.

PYTHON ?= $(if $(wildcard /usr/bin/python3),/usr/bin/python3,python3)
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
MESON = meson
NINJA = ninja -j$(JOBS)

all: build/kontor

build/build.ninja:
	@tools/deps.sh build
	$(MESON) setup build --prefix=$(PREFIX)

build/kontor: build/build.ninja FORCE
	@$(NINJA) -C build kontor

# everything: the program, its tests, the corpus drivers
build: build/build.ninja FORCE
	@$(NINJA) -C build

test:
	@tools/deps.sh --install test
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/run.py

test-peers:
	@tools/deps.sh --install peers
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/peers/run.py

test-fresh:
	@tools/deps.sh fresh
	@tools/test-fresh.sh

check:
	@tools/deps.sh check
	@$(PYTHON) tools/check.py

format:
	@$(PYTHON) tools/check.py --format

demo:
	@tools/deps.sh --install build
	@tools/demo.sh

SANITIZER_FLAGS = -Dddchecks=true -Db_lundef=false

build/asan/build.ninja:
	$(MESON) setup build/asan $(SANITIZER_FLAGS) -Db_sanitize=address,undefined \
	    -Dc_args=-fno-sanitize-recover=all

build/tsan/build.ninja:
	$(MESON) setup build/tsan $(SANITIZER_FLAGS) -Db_sanitize=thread

build/fuzz/build.ninja:
	@tools/deps.sh fuzz
	CC=clang $(MESON) setup build/fuzz $(SANITIZER_FLAGS) -Db_sanitize=address,undefined \
	    -Dfuzz=true -Dc_args=-fno-sanitize-recover=all

asan tsan: %: build/%/build.ninja FORCE
	@tools/deps.sh test
	@$(NINJA) -C build/$@
	@$(PYTHON) tests/run.py --build build/$@

fuzz: build/fuzz/build.ninja FORCE
	@$(NINJA) -C build/fuzz
	@$(PYTHON) tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

campaign: build
	@$(PYTHON) tests/run.py --campaign

bench: build/kontor
	@$(PYTHON) bench/run.py

install: build/kontor
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" tools/install.sh

aarch64:
	@tools/aarch64.sh

clean:
	rm -rf build

FORCE:

.PHONY: all build test test-peers test-fresh check format demo asan tsan fuzz campaign bench install \
	aarch64 clean FORCE
