"""kontor keys: make, list, rotate, revoke, tokens; the file is whole at any time."""
import base64
import fcntl
import hashlib
import hmac
import json
import os
import pathlib
import signal
import stat
import subprocess
import tempfile
import time

from harness import KONTOR, expect, expect_in, expect_true, main, run, test

SECRET = "0123456789abcdef0123456789abcdef"


class Folder:
    """A state folder, and `kontor keys` in it."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self._folder.name)
        self.file = self.path / "keys.json"
        return self

    def __exit__(self, *error):
        self._folder.cleanup()

    def keys(self, action, *arguments, code=0):
        done = run("keys", action, "--state-dir", str(self.path), *arguments)
        expect(done.returncode, code, f"exit code of {action} {arguments}: {done.stderr}")
        return done

    def create(self, *arguments):
        return json.loads(self.keys("create", "--json", *arguments).stdout)

    def rows(self):
        return json.loads(self.keys("list", "--json").stdout)

    def stored(self):
        return json.loads(self.file.read_text(encoding="utf-8"))

    def is_stored(self, key):
        stored = self.stored()
        digest = hmac.new(bytes.fromhex(stored["secret"]), key.encode(), hashlib.sha256).hexdigest()
        return any(digest == secret["hash"] for row in stored["keys"] for secret in row["secrets"])


@test
def a_key_is_shown_once_and_kept_as_a_keyed_hash():
    with Folder() as folder:
        made = folder.create("--name", "batch", "--team", "risk")
        expect_true(made["key"].startswith("sk-kontor-") and len(made["key"]) == 59, made["key"])
        expect_true(made["id"].startswith("k_"), made["id"])
        text = folder.file.read_text(encoding="utf-8")
        expect_true(made["key"] not in text and made["key"][10:] not in text, "the key is not kept")
        expect_true(folder.is_stored(made["key"]), "its HMAC is")
        expect(stat.S_IMODE(folder.file.stat().st_mode), 0o600, "mode")
        expect_true(made["key"] not in folder.keys("list").stdout, "list does not show it")


@test
def what_create_was_told_is_listed():
    with Folder() as folder:
        made = folder.create("--name", "n", "--team", "t", "--models", "a", "b", "--pools", "p",
                             "--label", "internal", "--ceiling", "confidential",
                             "--requests-per-minute", "60", "--tokens-per-minute", "90k",
                             "--parallel", "4", "--money", "12.50", "--period", "day",
                             "--expires", "90d")
        [row] = folder.rows()
        expires = row.pop("expires")
        expect(expires - row.pop("created"), 90 * 86400, "life")
        expect(row, {"id": made["id"], "name": "n", "team": "t", "state": "valid",
                     "label": "internal", "ceiling": "confidential", "models": ["a", "b"],
                     "pools": ["p"], "requests_per_minute": 60, "tokens_per_minute": 90000,
                     "parallel": 4, "money_nano": 12500000000, "period": "day"})
        expect_in(made["id"], folder.keys("list").stdout)


@test
def rotation_overlaps_and_revocation_ends():
    with Folder() as folder:
        first = folder.create()
        second = json.loads(folder.keys("rotate", "--key", first["id"], "--json").stdout)
        expect(second["id"], first["id"])
        expect_true(folder.is_stored(first["key"]) and folder.is_stored(second["key"]), "both open")
        secrets = folder.stored()["keys"][0]["secrets"]
        expect_true("ends" not in secrets[0], "the new one has no end")
        expect_true(abs(secrets[1]["ends"] - time.time() - 86400) < 60, "the old one ends")
        third = json.loads(folder.keys("rotate", "--key", first["id"], "--overlap", "0s",
                                       "--json").stdout)
        expect_true(not folder.is_stored(first["key"]) and not folder.is_stored(second["key"])
                    and folder.is_stored(third["key"]), "without overlap only the new one opens")
        folder.keys("revoke", "--key", first["id"])
        expect(folder.rows()[0]["state"], "revoked")
        expect_in("is revoked", folder.keys("rotate", "--key", first["id"], code=1).stderr)


@test
def too_many_overlapping_secrets_are_refused():
    with Folder() as folder:
        made = folder.create()
        for _ in range(3):
            folder.keys("rotate", "--key", made["id"])
        expect_in("shorter --overlap", folder.keys("rotate", "--key", made["id"], code=1).stderr)


@test
def a_token_names_the_key_and_is_signed():
    with Folder() as folder:
        made = folder.create()
        secret = folder.path / "jwt.secret"
        secret.write_text(SECRET + "\n", encoding="utf-8")
        token = folder.keys("token", "--key", made["id"], "--ttl", "2h", "--secret-file",
                            str(secret)).stdout.strip()
        head, claims, signature = token.split(".")
        want = hmac.new(SECRET.encode(), f"{head}.{claims}".encode(), hashlib.sha256).digest()
        expect(base64.urlsafe_b64decode(signature + "=="), want)
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        expect(claims["api_key"], made["id"])
        expect(claims["exp"] - claims["iat"], 7200)
        expect_in("no key with the id", folder.keys("token", "--key", "k_x", "--secret-file",
                                                    str(secret), code=1).stderr)
        secret.write_text("short", encoding="utf-8")
        expect_in("openssl rand", folder.keys("token", "--key", made["id"], "--secret-file",
                                              str(secret), code=1).stderr)
        folder.keys("token", "--key", made["id"], code=2)


@test
def wrong_words_are_explained():
    with Folder() as folder:
        for words, says in [(["--expires", "90"], "90d"), (["--expires", "0d"], "never opens"),
                            (["--label", "secret"], "public, internal"),
                            (["--ceiling", "internal"], "needs --label"),
                            (["--label", "private", "--ceiling", "public"], "is over"),
                            (["--money", "1.2.3"], "12.50"), (["--money", "-1"], "12.50")]:
            expect_in(says, folder.keys("create", *words, code=2).stderr)
        expect_true(not folder.file.exists(), "nothing was written")
        expect_in("control character", folder.keys("create", "--name", "a\nb", code=1).stderr)
        expect_in("too long", folder.keys("create", "--name", "x" * 129, code=1).stderr)
        expect_in("--key", folder.keys("revoke", code=2).stderr)
        expect_in("no key with the id", folder.keys("revoke", "--key", "k_x", code=1).stderr)
        expect_in("create, list", folder.keys("destroy", code=2).stderr)
        expect(run("keys", "list").returncode, 2)
        expect_in("--overlap", run("keys", "--help").stdout)
        folder.file.write_text("{\n\"format\": 1}", encoding="utf-8")
        expect_in("\"format\" must be", folder.keys("list", code=1).stderr)
        folder.file.chmod(0o666)
        expect_in("chmod 0600", folder.keys("list", code=1).stderr)


@test
def files_keep_their_owner():
    if os.geteuid() != 0:
        return  # only root edits what belongs to others
    with Folder() as folder:
        os.chown(folder.path, 4321, 4322)
        folder.create()
        folder.create()
        for name in ("keys.json", "keys.json.lock"):
            found = os.stat(folder.path / name)
            expect((found.st_uid, found.st_gid), (4321, 4322), f"owner of {name}")
            expect(stat.S_IMODE(found.st_mode), 0o600, f"mode of {name}")
        os.chown(folder.file, 1234, 1235)
        os.chown(folder.path, 4321, 4322)
        done = subprocess.run([KONTOR, "keys", "create", "--state-dir", folder.path], user=4321,
                              group=4322, capture_output=True, text=True, check=False)
        if "Permission denied" not in done.stderr:  # the program itself may be out of reach
            expect(done.returncode, 1, done.stdout + done.stderr)
        folder.create()
        expect(os.stat(folder.file).st_uid, 1234, "owner after root's edit")


@test
def a_missing_state_folder_is_made():
    with Folder() as folder:
        done = run("keys", "create", "--state-dir", str(folder.path / "new"))
        expect(done.returncode, 0, done.stderr)
        expect(stat.S_IMODE((folder.path / "new").stat().st_mode), 0o700)
        done = run("keys", "create", "--state-dir", str(folder.path / "a" / "b"))
        expect_in("cannot be opened", done.stderr)


@test
def editors_wait_for_each_other():
    with Folder() as folder:
        running = [subprocess.Popen([KONTOR, "keys", "create", "--state-dir", folder.path, "--json"],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                   for _ in range(12)]
        keys = [json.loads(child.communicate()[0]) for child in running]
        expect(len(folder.rows()), 12)
        expect_true(all(folder.is_stored(made["key"]) for made in keys), "all are there")
        with open(folder.path / "keys.json.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            child = subprocess.Popen([KONTOR, "keys", "create", "--state-dir", folder.path],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            time.sleep(0.1)
            expect(len(folder.rows()), 12, "readers do not wait")
            expect_in("holds the lock", child.communicate()[1])
            expect(child.returncode, 1)


@test
def a_killed_editor_leaves_a_whole_file():
    with Folder() as folder:
        count = 0
        for i in range(30):
            child = subprocess.Popen([KONTOR, "keys", "create", "--state-dir", folder.path],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.0004 * i)
            child.send_signal(signal.SIGKILL)
            child.wait()
            now = len(folder.rows())
            expect_true(count <= now <= count + 1, "one key more at most, none less")
            count = now
        folder.create()
        expect(len(folder.rows()), count + 1)
        expect_true(not os.path.exists(folder.path / "keys.json.fresh"), "no remains")


if __name__ == "__main__":
    main()
