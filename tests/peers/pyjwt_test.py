"""Tokens made by PyJWT: {api_key, iat, exp} under the shared secret acts as that key, and those of a
login service under a published key set are callers of their own."""
import json
import pathlib
import tempfile
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from harness import expect, expect_in, expect_true, main, run, test
from identity_checker import Checker

SECRET = "0123456789abcdef0123456789abcdef"


def make_key(folder, *arguments):
    done = run("keys", "create", "--json", "--file", f"{folder}/keys.json", *arguments)
    return json.loads(done.stdout)


def claims(**more):
    now = int(time.time())
    return {"iat": now, "exp": now + 86400, **more}


@test
def a_hs256_token_acts_as_the_key_it_names():
    with tempfile.TemporaryDirectory() as folder:
        made = make_key(folder, "--team", "risk", "--label", "internal")
        with Checker(f"{folder}/keys.json", SECRET) as checker:
            for named in (made["id"], made["key"]):
                token = jwt.encode(claims(api_key=named), SECRET, algorithm="HS256")
                who = checker.ask(token)
                expect((who["key"], who["team"], who["label"]), (made["id"], "risk", "internal"))
            token = jwt.encode(claims(api_key="k_other"), SECRET, algorithm="HS256")
            expect_in("not known here", checker.ask(token)["message"])
            token = jwt.encode(claims(api_key=made["id"]), SECRET[::-1], algorithm="HS256")
            expect_in("signature is wrong", checker.ask(token)["message"])
            token = jwt.encode({"api_key": made["id"], "iat": 1, "exp": 2}, SECRET)
            expect_in("expired", checker.ask(token)["message"])
            token = jwt.encode(claims(api_key=made["id"]), None, algorithm="none")
            expect_in("algorithm", checker.ask(token)["message"])
            for algorithm in ("HS384", "HS512"):
                token = jwt.encode(claims(api_key=made["id"]), SECRET * 2, algorithm=algorithm)
                expect_in("algorithm", checker.ask(token)["message"])


@test
def a_minted_token_is_read_by_pyjwt():
    with tempfile.TemporaryDirectory() as folder:
        made = make_key(folder)
        secret = pathlib.Path(folder) / "secret"
        secret.write_text(SECRET, encoding="utf-8")
        token = run("keys", "token", "--file", f"{folder}/keys.json", "--key", made["id"], "--ttl",
                    "24h", "--secret-file", str(secret)).stdout.strip()
        read = jwt.decode(token, SECRET, algorithms=["HS256"])
        expect(read["api_key"], made["id"])
        expect(read["exp"] - read["iat"], 86400)


@test
def tokens_of_a_login_service():
    private = {"RS256": rsa.generate_private_key(65537, 2048),
               "ES256": ec.generate_private_key(ec.SECP256R1()),
               "EdDSA": ed25519.Ed25519PrivateKey.generate()}
    algorithms = jwt.get_algorithm_by_name
    keys = [{**algorithms(name).to_jwk(key.public_key(), as_dict=True), "kid": name}
            for name, key in private.items()]
    with tempfile.TemporaryDirectory() as folder:
        jwks = pathlib.Path(folder) / "jwks.json"
        jwks.write_text(json.dumps({"keys": keys}), encoding="utf-8")
        with Checker("", SECRET, jwks, "https://login.example", "kontor") as checker:
            good = claims(sub="alice", iss="https://login.example", aud=["kontor", "x"],
                          kontor_team="desk", kontor_label="public", kontor_models=["m"])
            for name, key in private.items():
                token = jwt.encode(good, key, algorithm=name, headers={"kid": name})
                expect(checker.ask(token), {"key": "jwt:alice", "team": "desk", "label": "public",
                                            "ceiling": "private", "models": 1}, name)
                token = jwt.encode({**good, "aud": "other"}, key, name, headers={"kid": name})
                expect_in("(aud)", checker.ask(token)["message"])
                token = jwt.encode({**good, "kontor_models": []}, key, name, headers={"kid": name})
                expect_in("kontor_models", checker.ask(token)["message"])
                token = jwt.encode(good, key, name, headers={"kid": "else"})
                expect_in("no single key", checker.ask(token)["message"])
            token = jwt.encode(good, ec.generate_private_key(ec.SECP384R1()), "ES384")
            expect_in("algorithm", checker.ask(token)["message"])
            token = jwt.encode(good, SECRET, "HS256")
            expect_in("names no key", checker.ask(token)["message"])
            expect_true(checker.ask("x.y")["status"] == 401, "no token at all")


if __name__ == "__main__":
    main()
