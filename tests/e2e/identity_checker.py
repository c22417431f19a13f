"""Drive build/tests/check_identity: a key or token in, the caller or the failure out."""
import json
import subprocess

from harness import BUILD


class Checker:
    def __init__(self, keys="", secret="", jwks="", issuer="", audience=""):
        words = [str(word) for word in (keys, secret, jwks, issuer, audience)]
        self._child = subprocess.Popen([BUILD / "tests" / "check_identity", *words], text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()

    def ask(self, key):
        self._child.stdin.write(f"Bearer {key}\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())
