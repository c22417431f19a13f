"""kontor devices: states, exit codes, forms of output, hanging libraries, and the server's view."""
import contextlib
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness import BUILD, KONTOR, Server, expect, expect_in, expect_true, main, run, test, wait_until

STUBS = BUILD / "tests"


@contextlib.contextmanager
def host(files=(), tools=None):
    """A folder that looks like a machine's root: files as (path, text), tools as {name: script}."""
    root = pathlib.Path(tempfile.mkdtemp(prefix="kontor-host-"))
    try:
        for path, text in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        for name, script in (tools or {}).items():
            path = root / "usr/bin" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\n" + script + "\n")
            path.chmod(0o700)
        yield root
    finally:
        shutil.rmtree(root)


def pci(bus_id, vendor, device, kind="0x120000"):
    folder = f"sys/bus/pci/devices/{bus_id}"
    return [(f"{folder}/vendor", vendor + "\n"), (f"{folder}/device", device + "\n"),
            (f"{folder}/class", kind + "\n")]


NO_CARD = pci("0000:00:00.0", "0x8086", "0x1237", "0x060000")
ASCEND = pci("0000:c1:00.0", "0x19e5", "0xd802")


def stub(vendor, variant):
    library = {"nvidia": "nvml", "ascend": "dcmi", "cambricon": "cndev", "mthreads": "mtml"}[vendor]
    return f"{vendor}={STUBS / f'stub_{library}_{variant}.so'}"


def vendor_of(result, name):
    report = json.loads(result.stdout)
    return next(v for v in report["vendors"] if v["vendor"] == name), report


@test
def no_card_is_fine():
    with host(NO_CARD) as root:
        result = run("devices", "--root", root)
        expect(result.returncode, 0, "exit status")
        expect(result.stdout.count("no card"), 4, "vendors without card")
        expect(result.stderr, "", "stderr")


@test
def card_without_library_has_a_fix():
    with host(ASCEND) as root:
        result = run("devices", "--root", root)
        expect(result.returncode, 1, "exit status")
        expect_in("ascend     card without library", result.stdout)
        expect_in("fix: Install the Ascend driver", result.stdout)


@test
def five_states():
    for env, state, code in (({"STUB_INIT_RC": "-8005"}, "init failed", 1),
                             ({"STUB_COUNT": "0"}, "no device", 1),
                             ({"STUB_COUNT": "1"}, "fine", 0)):
        with host(ASCEND) as root:
            result = run("devices", "--json", "--root", root, "--vendor", "ascend",
                         "--library", stub("ascend", "normal"), env=env)
            vendor, _ = vendor_of(result, "ascend")
            expect(vendor["state"], state, "state")
            expect(result.returncode, code, "exit status")
            expect(bool(vendor["fix"]), state != "fine", "has a fix")


@test
def json_of_every_vendor():
    with host(NO_CARD) as root:
        for vendor, n in (("nvidia", 2), ("ascend", 3), ("cambricon", 2), ("mthreads", 2)):
            result = run("devices", "--json", "--root", root, "--library", stub(vendor, "normal"))
            found, report = vendor_of(result, vendor)
            expect((found["state"], found["source"]), ("fine", "library"), vendor)
            expect(len(report["devices"]), n, "devices")
            expect(report["devices"][0]["vendor"], vendor, "vendor of the device")
            expect_true(report["devices"][0]["memory_total_bytes"] > 1 << 30, "memory is known")


@test
def library_from_the_environment():
    with host(NO_CARD) as root:
        result = run("devices", "--root", root, "--json",
                     env={"KONTOR_DEVICES_LIBRARY": stub("nvidia", "old")})
        found, _ = vendor_of(result, "nvidia")
        expect(found["state"], "fine", "state")
        expect_in("nvmlDeviceGetMemoryInfo_v2", found["missing_symbols"])
        result = run("devices", "--root", root, env={"KONTOR_DEVICES_LIBRARY": "nvidia"})
        expect(result.returncode, 2, "exit status")


@test
def a_hanging_library_does_not_hold_the_program():
    for vendor, call in (("nvidia", "nvmlDeviceGetTemperature"),
                         ("ascend", "dcmi_get_device_health"),
                         ("cambricon", "cndevGetDeviceUtilizationInfo"),
                         ("mthreads", "mtmlGpuGetTemperature")):
        with host(NO_CARD) as root:
            result = run("devices", "--json", "--root", root, "--call-timeout", 100, "--library",
                         stub(vendor, "hang"))
            found, _ = vendor_of(result, vendor)
            expect((found["hangs"], found["call"]), (True, call), vendor)
            expect(result.returncode, 1, "exit status")


@test
def missing_symbol_and_garbage():
    with host(NO_CARD) as root:
        result = run("devices", "--root", root, "--library", stub("mthreads", "missing"))
        expect(result.returncode, 1, "exit status")
        expect_in("lacks mtmlLibraryCountDevice", " ".join(result.stdout.split()))
        result = run("devices", "--root", root, "--library", stub("nvidia", "garbage"))
        expect_in("temperature 255 is not plausible", " ".join(result.stdout.split()))


@test
def width_80_without_a_terminal():
    tools = {"npu-smi": "echo '| 0 910B3 | Critical | 102.8 45 0 / 0 |'\n"
                        "echo '| 0 0 | 0000:C1:00.0 | 100 0 / 0 165536/ 265536 |'",
             "mthreads-gmi": "echo '0 MTT S4000 | 0000:08:00.0 | 88% 44302MiB(32768MiB)'"}
    with host(ASCEND + [("dev/mtgpu.0", ""), ("dev/nvidia0", "")], tools) as root:
        result = run("devices", "--root", root)
        expect(result.returncode, 1, "exit status")
        expect_true("\033" not in result.stdout, "no escape sequences without a terminal")
        for line in result.stdout.splitlines():
            expect_true(len(line) <= 80, f"at most 80 columns: {line!r}")
        expect_in("critical", result.stdout)
        expect_in("switch the IOMMU on", " ".join(result.stdout.split()))


@test
def vendors_that_are_only_recognised():
    with host(pci("0000:61:00.0", "0x1d94", "0x6210") + pci("0000:62:00.0", "0x9999", "0x4001")) as r:
        result = run("devices", "--root", r)
        expect(result.returncode, 0, "exit status")
        expect_in("Hygon      recognised, not supported (PCI 1d94:6210 at 0000:61:00.0)",
                  result.stdout)
        expect_in("MetaX ", result.stdout)


@test
def watch_prints_again_and_ends():
    with host(NO_CARD) as root:
        result = run("devices", "--root", root, "--json", "--watch", 1, "--count", 2)
        expect(result.returncode, 0, "exit status")
        expect([json.loads(line)["devices"] for line in result.stdout.splitlines()], [[], []],
               "two reports, one per line")
        endless = subprocess.Popen([str(KONTOR), "devices", "--root", str(root), "--watch"],
                                   stdout=subprocess.PIPE, text=True)
        expect_in("no card", endless.stdout.readline())
        endless.terminate()
        endless.wait(20)


@test
def wrong_usage():
    for args, text in ((["--vendor", "amd"], "there are nvidia, ascend"),
                       (["--library", "nvidia"], "VENDOR=FILE"),
                       (["--tool", "x=/bin/true"], "is no vendor"),
                       (["--root", "/nowhere/at/all"], "cannot be read"),
                       (["--watch", "0"], "1 to 3600"),
                       (["--watch", "often"], "1 to 3600"),
                       (["5"], "--watch"),
                       (["--call-timeout", "1"], "call-timeout"),
                       (["--json", "--prometheus"], "not both"),
                       (["--jsno"], "jsno")):
        result = run("devices", *args)
        expect(result.returncode, 2, f"exit status of {args}")
        expect_in(text, result.stderr)
        expect(result.stdout, "", f"stdout of {args}")
    expect(run("devices", "--help").returncode, 0, "exit status of --help")


@test
def prometheus_text():
    with host(NO_CARD) as root:
        result = run("devices", "--root", root, "--prometheus", "--library",
                     stub("cambricon", "normal"))
        expect_in('kontor_device_vendor_state{vendor="cambricon"} 4\n', result.stdout)
        expect_in('kontor_device_utilization_percent{vendor="cambricon",index="0",'
                  'model="MLU370-X8",uuid="MLU-aaaa-0"} 88\n', result.stdout)
        names = [line.split()[2] for line in result.stdout.splitlines() if line.startswith("# TYPE")]
        expect(len(names), len(set(names)), "each family once")


@test
def server_shows_the_cards():
    with Server(env={"KONTOR_DEVICES_LIBRARY": stub("nvidia", "normal")}) as server:
        health = server.get("/health").json()
        expect(health["gpu_utilization"][:2], [37.0, None], "utilisation per card")
        expect(server.metric("kontor_device_power_watts", vendor="nvidia", index="0"), 123.456, "W")
        expect(server.stop(), 0, "exit status")


@test
def server_lives_beside_a_hanging_library():
    with Server(env={"KONTOR_DEVICES_LIBRARY": stub("nvidia", "hang")}) as server:
        began = time.monotonic()
        wait_until(lambda: server.get("/health").status == 200, "healthy")
        expect(server.get("/health").json()["gpu_utilization"][:1], [37.0], "the card read before")
        expect_true(time.monotonic() - began < 30, "the loop does not wait for the vendor")
        expect(server.stop(), 0, "exit status")


if __name__ == "__main__":
    main()
