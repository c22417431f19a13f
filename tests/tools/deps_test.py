"""tools/deps.sh in a world of fake commands: what it names, when it installs, when it stops."""
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import ROOT, expect, expect_in, expect_true, main, test  # noqa: E402 - behind the path

REAL = ("sh", "cat", "tr", "env", "find", "head")
FAKE = ("gcc", "cc", "make", "meson", "ninja", "openssl", "python3")
APT = """#!/bin/sh
echo "$@" >>"$WORLD/apt.log"
[ "$1" = install ] && [ -e "$WORLD/lists-are-old" ] && exit 100
[ "$1" = update ] && rm -f "$WORLD/lists-are-old"
[ "$1" = install ] && [ ! -e "$WORLD/apt-is-broken" ] && rm -f "$WORLD/no-pc" && touch "$WORLD/got"
exit 0
"""
PKG_CONFIG = """#!/bin/sh
[ ! -e "$WORLD/no-pc" ] || ! grep -qx "$2" "$WORLD/no-pc"
"""


class World:
    """A PATH with fakes; `missing` are pkg-config names that are not found."""

    def __init__(self, missing=(), without=(), user="0", apt=True, sudo=False):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.temporary.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name in (*REAL, "grep", "rm", "touch"):
            path = next(p for p in (f"/bin/{name}", f"/usr/bin/{name}") if os.path.exists(p))
            (self.bin / name).symlink_to(path)
        for name in FAKE:
            if name not in without:
                self.command(name, "#!/bin/sh\nexit 0\n")
        self.command("pkg-config", PKG_CONFIG)
        self.command("id", f"#!/bin/sh\necho {user}\n")
        if apt:
            self.command("apt-get", APT)
        if sudo:
            self.command("sudo", '#!/bin/sh\necho sudo >>"$WORLD/apt.log"\nexec "$@"\n')
        if missing:
            (self.folder / "no-pc").write_text("\n".join(missing) + "\n")

    def command(self, name, text):
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, *args, **env):
        done = subprocess.run(["/bin/sh", str(ROOT / "tools" / "deps.sh"), *args],
                              env={"PATH": str(self.bin), "WORLD": str(self.folder), **env},
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    def apt_log(self):
        log = self.folder / "apt.log"
        return log.read_text().splitlines() if log.exists() else []


@test
def with_nothing_missing_it_is_silent():
    world = World()
    expect(world.run("--install", "build", "test"), (0, ""))
    expect(world.apt_log(), [])


@test
def it_names_things_and_the_exact_line():
    world = World(missing=["libevent_core", "jansson"], without=["meson"])
    status, text = world.run("build")
    expect(status, 1, "exit status")
    expect_in("apt-get install -y meson libevent-dev libjansson-dev\n", text)
    expect_in("libevent (core)", text)
    expect(world.apt_log(), [])


@test
def a_test_needs_more_than_a_build():
    world = World(missing=["cmocka"])
    expect(world.run("build"), (0, ""))
    status, text = world.run("test")
    expect(status, 1, "exit status")
    expect_in("apt-get install -y libcmocka-dev\n", text)


@test
def root_installs_directly():
    world = World(missing=["yaml-0.1"])
    expect(world.run("--install", "build")[0], 0, "exit status")
    expect(world.apt_log(), ["install -y libyaml-dev"])


@test
def old_package_lists_are_renewed_once():
    world = World(missing=["yaml-0.1"])
    (world.folder / "lists-are-old").touch()
    expect(world.run("--install", "build")[0], 0, "exit status")
    expect(world.apt_log(), ["install -y libyaml-dev", "update", "install -y libyaml-dev"])


@test
def a_user_with_sudo_installs_through_it():
    world = World(missing=["yaml-0.1"], user="1000", sudo=True)
    expect(world.run("--install", "build")[0], 0, "exit status")
    expect(world.apt_log()[:2], ["sudo", "install -y libyaml-dev"])


@test
def a_user_without_sudo_is_told_the_line():
    world = World(missing=["yaml-0.1"], user="1000")
    status, text = world.run("--install", "build")
    expect(status, 1, "exit status")
    expect_in("apt-get install -y libyaml-dev", text)
    expect_in("Neither root nor sudo", text)
    expect(world.apt_log(), [])


@test
def deps_0_only_names():
    world = World(missing=["yaml-0.1"])
    status, text = world.run("--install", "build", DEPS="0")
    expect(status, 1, "exit status")
    expect_in("apt-get install -y libyaml-dev", text)
    expect(world.apt_log(), [])


@test
def a_system_without_apt_gets_the_list():
    status, text = World(missing=["openssl"], apt=False).run("--install", "build")
    expect(status, 1, "exit status")
    expect_in("OpenSSL 3", text)
    expect_in("no apt-get", text)
    expect_true("apt-get install" not in text, "no apt line where there is no apt")
    expect(World(apt=False).run("--install", "build"), (0, ""))


@test
def an_installation_that_did_not_help_is_reported():
    world = World(missing=["openssl"])
    (world.folder / "apt-is-broken").touch()
    status, text = world.run("--install", "build")
    expect(status, 1, "exit status")
    expect_in("Still missing", text)


@test
def an_unknown_purpose_is_refused():
    status, text = World().run("everything")
    expect(status, 2, "exit status")
    expect_in("everything", text)


if __name__ == "__main__":
    main()
