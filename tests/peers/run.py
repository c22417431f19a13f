#!/usr/bin/env python3
"""Tests against foreign clients and servers: `make test-peers`.

    tests/peers/run.py [PATTERN ...]

Runs tests/peers/*_test.py with the packages of requirements.txt in build/venv and those of
package.json in build/peers-node.  The tests use tests/e2e/harness.py and find in the environment:

    KONTOR_BUILD          the build folder with the program
    KONTOR_NODE           the node program
    NODE_PATH             its modules, for scripts that use require()
    KONTOR_NODE_FOLDER    a folder with node_modules; run .mjs files from a copy below it

Nothing is installed outside build/; a folder is made anew when its list of packages changes.
Standard library only.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
import tapjobs  # noqa: E402 - behind the path
from tapjobs import Job  # noqa: E402

VENV = ROOT / "build" / "venv"
NODE_FOLDER = ROOT / "build" / "peers-node"
LIMIT_S = 300


def is_current(folder, listing):
    """True when `folder` was completely made from this listing."""
    stamp = folder / ".made-from"
    digest = hashlib.sha256(listing.read_bytes()).hexdigest()
    return stamp.exists() and stamp.read_text() == digest


def mark_current(folder, listing):
    digest = hashlib.sha256(listing.read_bytes()).hexdigest()
    (folder / ".made-from").write_text(digest)


def must(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}:\n{done.stdout[-4000:]}\n"
                 "0 passed, 1 failed, 0 skipped")


def base_python():
    """Debian's own python: the packages of another one are another story."""
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def make_venv():
    listing = HERE / "requirements.txt"
    if is_current(VENV, listing):
        return
    print("Installing the clients for Python into build/venv ...", flush=True)
    shutil.rmtree(VENV, ignore_errors=True)
    must([base_python(), "-m", "venv", str(VENV)])
    must([str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "-r",
          str(listing)])
    mark_current(VENV, listing)


def make_node_folder():
    listing = HERE / "package.json"
    if is_current(NODE_FOLDER, listing):
        return
    print("Installing the clients for node into build/peers-node ...", flush=True)
    shutil.rmtree(NODE_FOLDER, ignore_errors=True)
    NODE_FOLDER.mkdir(parents=True)
    shutil.copy(listing, NODE_FOLDER / "package.json")
    must([shutil.which("npm") or "npm", "install", "--no-audit", "--no-fund", "--silent",
          "--no-package-lock"], cwd=NODE_FOLDER)
    mark_current(NODE_FOLDER, listing)


def main():
    make_venv()
    make_node_folder()
    env = dict(os.environ, KONTOR_BUILD=str(ROOT / "build"), KONTOR_TEST_DATA=str(HERE.parent),
               KONTOR_NODE=shutil.which("node") or shutil.which("nodejs") or "node",
               KONTOR_NODE_FOLDER=str(NODE_FOLDER), NODE_PATH=str(NODE_FOLDER / "node_modules"),
               PYTHONPATH=str(HERE.parent / "e2e"))
    patterns = sys.argv[1:]
    jobs = [Job(f"peers/{path.name.removesuffix('_test.py')}",
                [str(VENV / "bin" / "python"), str(path)], LIMIT_S)
            for path in sorted(HERE.glob("*_test.py"))
            if not patterns or any(p in path.name for p in patterns)]
    return tapjobs.run_all(jobs, env, 2, os.environ.get("CI", "") == "true")


if __name__ == "__main__":
    sys.exit(main())
