"""kontor config and kontor gateway --check: commands, exit codes and the exact words."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from harness import ROOT, Server, expect, expect_in, expect_true, free_port, main, run, test

SMALL = """upstreams: [{name: u, url: http://127.0.0.1:1/v1}]
pools: [{name: p, members: [u]}]
models: [{name: m, pools: [p]}]
"""
SAMPLE = ROOT / "conf" / "kontor.yaml"


class Folder:
    """A temporary folder with files in it."""

    def __init__(self, **files):
        self.kept = tempfile.TemporaryDirectory(prefix="kontor-config-")
        self.path = pathlib.Path(self.kept.name)
        for name, text in files.items():
            self.write(name.replace("_", "."), text)

    def write(self, name, text, mode=0o600):
        file = self.path / name
        file.write_text(text)
        file.chmod(mode)
        return file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kept.cleanup()


@test
def a_good_file_is_ok():
    with Folder(kontor_yaml=SMALL) as folder:
        file = folder.path / "kontor.yaml"
        done = run("config", "check", file)
        expect(done.stdout, f"{file}: ok\n", "stdout")
        expect((done.returncode, done.stderr), (0, ""), "exit status and stderr")


@test
def all_errors_come_with_their_places():
    with Folder(kontor_yaml=SMALL + "sever: {}\ndurability: power_loss\n") as folder:
        file = folder.path / "kontor.yaml"
        done = run("config", "check", file)
        expect(done.returncode, 1, "exit status")
        expect(done.stdout,
               f'{file}:4:1: error: unknown key "sever"; did you mean "server"?\n'
               f'{file}:5:13: error: durability: unknown word "power_loss"; did you mean '
               f'"power-loss"? Known are process, power-loss\n'
               f"{file}: 2 errors, 0 warnings\n", "stdout")


@test
def warnings_leave_the_exit_status_at_zero():
    with Folder(kontor_yaml=SMALL + "auth: {api_keys: [sk-1]}\n") as folder:
        file = folder.path / "kontor.yaml"
        done = run("config", "check", file)
        expect(done.returncode, 0, "exit status")
        expect_in(f"{file}:4:19: warning: api_keys: a secret in the file itself", done.stdout)
        expect_in(f"{file}: ok, 1 warning\n", done.stdout)
        expect_true("sk-1" not in done.stdout, "the secret is not shown")


@test
def json_says_the_same():
    with Folder(kontor_yaml=SMALL + "zzz: 1\n") as folder:
        done = run("config", "check", folder.path / "kontor.yaml", "--json")
        report = json.loads(done.stdout)
        expect(done.returncode, 1, "exit status")
        expect((report["errors"], report["warnings"]), (1, 0), "counts")
        expect(report["issues"], [{"severity": "error", "line": 4, "column": 1,
                                   "message": 'unknown key "zzz" in the file'}], "issues")


@test
def the_sample_needs_its_variable_only():
    done = run("config", "check", SAMPLE, env={"CLOUD_API_KEY": "sk-x"})
    expect((done.returncode, done.stdout), (0, f"{SAMPLE}: ok\n"), "with the variable")
    done = run("config", "check", SAMPLE, env={"CLOUD_API_KEY": ""})
    expect(done.returncode, 1, "exit status without it")
    expect_in("key_env: the environment variable CLOUD_API_KEY is empty", done.stdout)
    done = run("config", "check", SAMPLE, "--without-secrets", env={"CLOUD_API_KEY": ""})
    expect(done.returncode, 0, "exit status with --without-secrets")


@test
def the_print_is_a_configuration_and_prints_as_itself():
    env = {"CLOUD_API_KEY": "sk-secret"}
    done = run("config", "check", SAMPLE, "--print", env=env)
    expect(done.returncode, 0, "exit status")
    expect_in("key_env: CLOUD_API_KEY\n", done.stdout)
    expect_in("retry_floor: 10\n", done.stdout)
    expect_true("sk-secret" not in done.stdout, "the secret is not shown")
    with Folder(again_yaml=done.stdout) as folder:
        again = run("config", "check", folder.path / "again.yaml", "--print", env=env)
        expect(again.stdout, done.stdout, "the print of the print")


@test
def secrets_by_file_are_read_beside_the_configuration():
    text = SMALL.replace("/v1}", "/v1, key_file: secret}")
    with Folder(kontor_yaml=text) as folder:
        file = folder.path / "kontor.yaml"
        done = run("config", "check", file)
        expect(done.stdout.splitlines()[0],
               f"{file}:1:61: error: key_file: cannot read {folder.path}/secret: "
               "No such file or directory", "the missing file")
        folder.write("secret", "sk-1\n")
        expect(run("config", "check", file).stdout, f"{file}: ok\n", "a good one")
        folder.write("secret", "sk-1\n", 0o644)
        expect_in("every user of this machine can read", run("config", "check", file).stdout)


@test
def hostile_files_are_refused_quickly():
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20))
    cases = {
        "laughs": (laughs, "1:4: error: anchors (&a) are not supported"),
        "deep": ("[" * 900000, "1:33: error: nested deeper than 32 levels"),
        "scalar": ("a: " + "x" * 900000, "1:4: error: text longer than 65536 bytes"),
        "large": ("# x\n" * 300000, "error: larger than 1048576 bytes"),
        "cut": ('a: {b: "c', "1:10: error: not YAML"),
        "keys": ("".join(f"k{i}: 1\n" for i in range(9000)),
                 "4097:1: error: more than 4096 keys in one mapping"),
        "nothing": ("", "1:1: error: the file is empty"),
    }
    with Folder() as folder:
        for name, (text, want) in cases.items():
            done = run("config", "check", folder.write(name, text), limit_s=20)
            expect(done.returncode, 1, f"exit status of {name}")
            expect_in(want, done.stdout)


@test
def bytes_that_are_no_text_are_refused():
    with Folder() as folder:
        file = folder.path / "f"
        file.write_bytes(b"a: 1\nb: \xff\n")
        expect_in(f"{file}:2:4: error: byte 0xff is not UTF-8", run("config", "check", file).stdout)
        file.write_bytes("a: 1\n".encode("utf-16"))
        expect_in(f"{file}:1:1: error: byte 0xff is not UTF-8", run("config", "check", file).stdout)


@test
def terminal_sequences_of_a_file_do_not_reach_the_terminal():
    with Folder(f='"\\e[31mred": 1\n' + SMALL) as folder:
        done = run("config", "check", folder.path / "f")
        expect_in('unknown key "?[31mred"', done.stdout)


@test
def wrong_usage_is_two():
    expect(run("config").returncode, 2, "no action")
    expect(run("config", "check").returncode, 2, "no file")
    expect(run("config", "chekc", "x").returncode, 2, "unknown action")
    expect(run("config", "check", "x", "--jsno").returncode, 2, "unknown option")
    expect(run("config", "--help").returncode, 0, "help")
    expect_in("--without-secrets", run("config", "check", "--help").stdout)
    done = run("config", "check", "/no/such/file")
    expect((done.returncode, done.stdout.splitlines()[0]),
           (1, "/no/such/file: error: cannot be read: No such file or directory"), "no such file")


@test
def the_reference_page_is_the_committed_one():
    done = run("config", "reference")
    expect(done.returncode, 0, "exit status")
    expect_true(done.stdout == (ROOT / "docs" / "config.md").read_text(),
                "docs/config.md is what `kontor config reference` prints")


@test
def the_schema_names_every_key_of_the_reference():
    schema = json.loads(run("config", "schema").stdout)
    page = run("config", "reference").stdout
    for name, value in schema["properties"].items():
        expect_in(f"| `{name}` |", page)
        expect_true(value["description"], f"{name} has a description")
    expect(schema["additionalProperties"], False, "additionalProperties")


@test
def gateway_check_reads_all_sources():
    with Folder(kontor_yaml=SMALL, auth_json='{"api_keys": ["sk-1"]}') as folder:
        file = folder.path / "kontor.yaml"
        done = run("gateway", "--config", file, "--check", "--auth-config", folder.path / "auth.json")
        expect((done.returncode, done.stdout), (0, f"{file}: ok\n"), "a good one")
        expect_in("auth.json:1:15: warning: api_keys: a secret in the file itself", done.stderr)
        folder.write("auth.json", '{"api_keys": ["sk 1"], "header": 1}')
        done = run("gateway", "--config", file, "--check", "--auth-config", folder.path / "auth.json")
        expect(done.returncode, 1, "exit status of a bad one")
        expect_in("auth.json:1:15: error: api_keys: the secret has a blank", done.stderr)
        expect_in('auth.json:1:24: error: unknown key "header"; did you mean "header_name"?',
                  done.stderr)
        expect_in("kontor gateway: the configuration has errors\n", done.stderr)


@test
def gateway_options_stand_in_for_the_file():
    with Folder(kontor_yaml="auth: {keys: true}\n" + SMALL) as folder:
        file = folder.path / "kontor.yaml"
        done = run("gateway", "--config", file, "--check")
        expect_in(f"{file}:1:14: error: keys: they are kept in state_dir", done.stderr)
        done = run("gateway", "--config", file, "--check", "--state-dir", folder.path / "state")
        expect(done.returncode, 0, "exit status with --state-dir")
        done = run("gateway", "--config", file, "--check", "--state-dir", folder.path / "state",
                   "--host", "0.0.0.0")
        expect_in("warning: other machines reach this address without TLS", done.stderr)
    expect(run("gateway").returncode, 2, "no configuration named")


@test
def serve_takes_auth_config():
    with Folder(auth_yaml="api_keys: []\n") as folder:
        done = run("serve", "--auth-config", folder.path / "auth.yaml")
        expect(done.returncode, 1, "exit status")
        expect_in("auth.yaml:1:1: error: no keys: name some with", done.stderr)


LOCAL = """upstreams: [{name: here, kind: local, model: builtin, engine: {threads: 1, max_model_len: 128}}]
pools: [{name: p, members: [here]}]
models: [{name: demo, pools: [p]}]
"""
LIMIT_S = 30


def metric(server, name):
    for line in server.get("/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    return None


def wait_for(server, name, value):
    """Until the metric has that value."""
    end = time.monotonic() + LIMIT_S
    while metric(server, name) != value:
        if time.monotonic() > end:
            raise AssertionError(f"{name} is {metric(server, name)}, not {value}:\n{server.log()}")
        time.sleep(0.02)


def models(server, headers=None):
    reply = server.get("/v1/models", headers=headers or {})
    return [m["id"] for m in reply.json()["data"]] if reply.status == 200 else reply.status


@test
def hangup_puts_a_good_file_in_force_and_keeps_it_over_a_bad_one():
    with Folder(kontor_yaml=LOCAL) as folder:
        with Server(command=("gateway", "--config", folder.path / "kontor.yaml")) as server:
            expect(models(server), ["demo"], "models at the start")
            expect(metric(server, "kontor_config_generation"), 1.0, "generation at the start")
            folder.write("kontor.yaml", LOCAL.replace("name: demo", "name: other"))
            server.process.send_signal(signal.SIGHUP)
            wait_for(server, "kontor_config_generation", 2.0)
            expect(models(server), ["other"], "models after the reload")
            folder.write("kontor.yaml", LOCAL + "zzz: 1\nserver: {inflight: x}\n")
            server.process.send_signal(signal.SIGHUP)
            wait_for(server, "kontor_config_last_reload_successful", 0.0)
            expect(models(server), ["other"], "models after a bad file")
            expect(metric(server, "kontor_config_generation"), 2.0, "generation")
            log = server.log()
            expect_in('kontor.yaml:4:1 text="unknown key \\"zzz\\" in the file"', log)
            expect_in('kontor.yaml:5:20 text="inflight: \\"x\\" is not a whole number"', log)
            expect_in("config_kept generation=2", log)
            folder.write("kontor.yaml", LOCAL.replace("threads: 1", "threads: 2"))
            server.process.send_signal(signal.SIGHUP)
            wait_for(server, 'kontor_config_reloads_total{result="failed"}', 2.0)
            expect_in("the engine of the local upstream changes with a restart only", server.log())
            folder.write("kontor.yaml", LOCAL)
            server.process.send_signal(signal.SIGHUP)
            wait_for(server, "kontor_config_generation", 3.0)
            expect(models(server), ["demo"], "models at the end")
        expect(server.exit_status, 0, "exit status after SIGTERM")


def waiting(server):
    """The settings that wait for a restart, by the metric."""
    start = "kontor_config_needs_restart{setting="
    return [line.split('"')[1] for line in server.get("/metrics").text.splitlines()
            if line.startswith(start) and line.endswith(" 1.0")]


@test
def what_needs_a_restart_is_named_until_it_is_taken_back():
    changes = {
        "listen.client_ca": ("key: tls.key", "key: tls.key, client_ca: tls.crt"),
        "listen.certificate": ("certificate: tls.crt", "certificate: other.crt"),
        "listen.key": ("key: tls.key", "key: other.key"),
        "listen.address": ("127.0.0.1:", "localhost:"),
        "state_dir": ("state_dir: a", "state_dir: b"),
        "durability": ("durability: process", "durability: power-loss"),
        "server.drain_timeout": ("drain_timeout: 20s", "drain_timeout: 21s"),
        "server.inflight": ("inflight: 100", "inflight: 101"),
        "server.max_body": ("max_body: 1MiB", "max_body: 2MiB"),
    }
    with Folder() as folder:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
                        "-keyout", "tls.key", "-out", "tls.crt"],
                       check=True, capture_output=True, cwd=folder.path)
        for name in ("key", "crt"):
            shutil.copy(folder.path / f"tls.{name}", folder.path / f"other.{name}")
        port = free_port()
        text = (f"listen: [{{address: '127.0.0.1:{port}'}}, "
                f"{{address: '127.0.0.1:{free_port()}', certificate: tls.crt, key: tls.key}}]\n"
                "state_dir: a\ndurability: process\n"
                "server: {drain_timeout: 20s, inflight: 100, max_body: 1MiB, request_timeout: 30s}\n" + LOCAL)
        file = folder.write("kontor.yaml", text)
        server = Server(command=("gateway", "--config", file), port=port)
        del server.args[4:8]  # --host and --port would leave one listener only
        with server:
            expect(waiting(server), [], "at the start")
            for n, (name, (old, new)) in enumerate(changes.items(), 2):
                folder.write("kontor.yaml", text.replace(old, new, 1))
                server.process.send_signal(signal.SIGHUP)
                wait_for(server, "kontor_config_generation", float(n))
                expect(waiting(server), [name], "after the change")
                expect(server.log().count(f"config_needs_restart setting={name}\n"), 1, name)
            folder.write("kontor.yaml", text.replace("request_timeout: 30s", "request_timeout: 0"))
            server.process.send_signal(signal.SIGHUP)
            wait_for(server, "kontor_config_generation", len(changes) + 2.0)
            expect(waiting(server), [], "taken back")


@test
def hangups_during_the_drain_do_no_harm():
    with Folder(kontor_yaml=LOCAL) as folder:
        with Server(command=("gateway", "--config", folder.path / "kontor.yaml")) as server:
            for _ in range(20):
                server.process.send_signal(signal.SIGHUP)
            server.process.send_signal(signal.SIGTERM)
            for _ in range(20):
                if server.process.poll() is None:
                    server.process.send_signal(signal.SIGHUP)
        expect(server.exit_status, 0, "exit status")


@test
def fixed_keys_and_another_header_work_in_gateway_and_serve():
    auth = '{"api_keys_file": "keys", "header_name": "X-Auth", "header_prefix": "Key"}'
    with Folder(kontor_yaml=LOCAL, auth_json=auth) as folder:
        folder.write("keys", "sk-first-key-0001\nsk-second-key-0002\n")
        for command in (("gateway", "--config", folder.path / "kontor.yaml"), ("serve",)):
            with Server(command=command + ("--auth-config", folder.path / "auth.json")) as server:
                expect(models(server), 401, f"{command[0]} without a key")
                expect(models(server, {"X-Auth": "Key sk-wrong-key-00001"}), 401, "a wrong one")
                expect(len(models(server, {"X-Auth": "Key sk-second-key-0002"})), 1, "a good one")


if __name__ == "__main__":
    os.environ.pop("CLOUD_API_KEY", None)
    main()
