"""kontor doctor without --log and --file: small fake hosts, one fault each."""
import json
import os
import pathlib
import subprocess
import tempfile

from harness import KONTOR, expect, expect_in, expect_true, main, test

MEMINFO = "MemTotal: 263000000 kB\nMemAvailable: 200000000 kB\nHugePages_Free: 0\nHugepagesize: 2048 kB\n"
TCP = "  sl  local_address rem_address   st\n   0: 00000000:%04X 00000000:0000 0A 00000000:00000000\n"


class Host:
    """A folder with the files of a host."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder)
        self.put("proc/meminfo", MEMINFO)
        self.put("proc/mounts", "tmpfs /dev/shm tmpfs rw,size=16777216k 0 0\n")
        self.put("proc/net/tcp", TCP % 22)
        self.put("run/systemd/timesync/synchronized", "")
        self.put("sys/bus/pci/devices/0000:00:00.0/vendor", "0x8086\n")

    def put(self, path, text, mode=0o666):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def card(self, slot, vendor, device, kind):
        base = f"sys/bus/pci/devices/0000:{slot:02x}:00.0"
        for name, value in (("vendor", vendor), ("device", device), ("class", kind)):
            self.put(f"{base}/{name}", value + "\n")

    def ascend(self, cards=2):
        for i in range(cards):
            self.card(0x10 + i, "0x19e5", "0xd802", "0x120000")
            self.put(f"dev/davinci{i}", "")
        for node in ("davinci_manager", "devmm_svm", "hisi_hdc"):
            self.put(f"dev/{node}", "")
        self.put("usr/local/Ascend/driver/version.info", "Version=25.5.1\ncompatible_version_fw=[7.0.0,7.8.99]\n")
        self.put("usr/local/Ascend/firmware/version.info", "Version=7.8.0.5.216\n")

    def nvidia(self, device="0x2330"):
        self.card(0x20, "0x10de", device, "0x030200")
        for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
            self.put(f"dev/{node}", "")
        self.put("proc/modules", "nvidia_uvm 1 0 - Live 0x0\nnvidia 1 1 - Live 0x0\n")
        self.put("proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n")
        self.put("usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.54.15", "")

    def packages(self, *names):
        for name in names:
            self.put(f"usr/local/lib/python3.11/site-packages/{name}.dist-info/METADATA", "")

    def check(self, *args):
        done = subprocess.run([str(KONTOR), "doctor", "--root", str(self.root), "--json", *args], capture_output=True,
                              text=True, timeout=60, check=False)
        expect_true(done.returncode in (0, 1), done.stderr)
        answer = json.loads(done.stdout)
        expect(done.returncode, 1 if answer["findings"] else 0, "exit code")
        return answer


def problems(answer):
    return sorted(f["id"] for f in answer["findings"])


def with_host(change, *args):
    with tempfile.TemporaryDirectory() as folder:
        host = Host(folder)
        change(host)
        return host.check(*args)


@test
def healthy_hosts_have_no_problem():
    for change, engine in ((Host.ascend, "vllm-ascend"), (Host.nvidia, "vllm"), (lambda h: None, "kontor")):
        answer = with_host(change, "--engine", engine)
        expect(problems(answer), [], f"{engine}: {answer['findings']}")
        expect_true(len(answer["ok"]) >= 4, answer["ok"])


def remove(path):
    return lambda h: (h.root / path).unlink()


# (how the host is made, how it is spoilt, arguments, finding)
FAULTS = [
    (Host.ascend, remove("dev/hisi_hdc"), (), "host-node"),
    (Host.ascend, lambda h: [(h.root / f"dev/davinci{i}").unlink() for i in (0, 1)], (), "host-node-count"),
    (Host.ascend, remove("usr/local/Ascend/driver/version.info"), (), "host-driver"),
    (Host.ascend, lambda h: h.put("usr/local/Ascend/firmware/version.info", "Version=6.4.12"), (), "host-firmware"),
    (Host.ascend, lambda h: None, ("--engine", "vllm-musa"), "host-cards"),
    (Host.ascend, lambda h: None, ("--image", "quay.io/ascend/vllm-ascend:v0.18.0-a3"), "host-image"),
    (Host.ascend, lambda h: None, ("--image", "vllm/vllm-openai:v0.11.0"), "host-image"),
    (Host.ascend, lambda h: h.packages("vllm-0.11.0", "vllm_ascend-0.18.0", "torch_npu-2.9.0.post1"), (),
     "host-packages"),
    (Host.ascend, lambda h: h.packages("vllm-0.18.0", "vllm_ascend-0.18.0", "torch_npu-2.7.1"), (), "host-packages"),
    (Host.ascend, lambda h: h.packages("vllm-0.18.0", "vllm_ascend-0.18.0", "torch_npu-2.9.0", "vllm_musa-0.18.0"),
     (), "host-plugins"),
    (Host.ascend, lambda h: h.put("etc/docker/daemon.json",
                                  '{"runtimes": {"ascend": {"path": "/usr/bin/ascend-docker-runtime"}}}'), (),
     "runtime-path"),
    (Host.ascend, lambda h: h.put("etc/docker/daemon.json", '{"default-runtime": "ascend"}'), (), "default-runtime"),
    (Host.nvidia, lambda h: h.put("proc/modules", "nouveau 1 0 - Live 0x0\n"), (), "host-module"),
    (Host.nvidia, remove("dev/nvidia-uvm"), (), "host-node"),
    (Host.nvidia, lambda h: h.put("proc/driver/nvidia/version", "NVRM: Kernel Module  535.1.2  x\n"), (),
     "host-driver"),
    (Host.nvidia, lambda h: h.put("usr/bin/dockerd", ""), (), "host-runtime"),
    (lambda h: h.nvidia("0x2b85"), lambda h: h.packages("torch-2.8.0+cu126"), (), "host-cuda-arch"),
    (Host.nvidia, lambda h: h.packages("torch-2.9.0+cu130"), (), "host-cuda-driver"),
    (lambda h: None, lambda h: h.put("proc/mounts", "tmpfs /dev/shm tmpfs rw,size=65536k 0 0\n"), (), "host-shm"),
    (lambda h: None, lambda h: h.put("proc/meminfo", MEMINFO.replace("Free: 0", "Free: 100000")), (),
     "host-huge-pages"),
    (lambda h: None, lambda h: h.put("proc/net/tcp", TCP % 8000), ("--engine", "vllm"), "host-port"),
    (lambda h: None, lambda h: h.put("proc/net/tcp", TCP % 1026), ("--engine", "mindie"), "host-port"),
]


@test
def each_fault_is_named():
    for make, spoil, args, wanted in FAULTS:
        def change(h, make=make, spoil=spoil):
            make(h)
            spoil(h)
        answer = with_host(change, *args)
        expect_in(wanted, problems(answer))
        for finding in answer["findings"]:
            expect_true(finding.get("cause") and finding.get("fix"), str(finding))


@test
def node_of_another_group_is_named():
    if os.geteuid() == 0:
        with tempfile.TemporaryDirectory() as folder:
            host = Host(folder)
            host.ascend(1)
            expect(problems(host.check()), [], "root opens everything")
        return

    def change(h):
        h.ascend(1)
        h.put("dev/davinci0", "", 0)
    expect_in("host-node-rights", problems(with_host(change)))


def model(folder, config, shards=("a.safetensors",), missing=()):
    folder = pathlib.Path(folder, "model")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    index = {"metadata": {"total_size": 1000}, "weight_map": {f"w{i}": s for i, s in enumerate(shards)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    for name in set(shards) - set(missing):
        (folder / name).write_bytes(b"x" * 4096)
    return folder


@test
def checkpoint_is_looked_at():
    config = {"model_type": "glm4", "quantization_config": {"quant_method": "fp8"}}
    with tempfile.TemporaryDirectory() as folder:
        host = Host(folder)
        host.ascend()
        path = model(folder, config, ("a.safetensors", "b.safetensors"), ("b.safetensors",))
        found = problems(host.check("--model", str(path)))
        expect_in("host-model-fp8", found)
        expect_in("host-model-shards", found)
        (path / "b.safetensors").write_bytes(b"version https://git-lfs\n")
        expect_in("host-model-pointer", problems(host.check("--model", str(path))))
        (path / "config.json").unlink()
        expect_in("host-model-config", problems(host.check("--model", str(path))))


@test
def wrong_questions_are_refused():
    for args, text in ((("--root", "/nowhere"), "--root"), (("--engine", "vlm"), "vllm-ascend"),
                       (("--model", "/nowhere"), "--model")):
        done = subprocess.run([str(KONTOR), "doctor", *args], capture_output=True, text=True, timeout=60, check=False)
        expect(done.returncode, 2, str(args))
        expect_in(text, done.stderr)


@test
def empty_root_is_all_unknown():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([str(KONTOR), "doctor", "--root", folder, "--json"], capture_output=True, text=True,
                              timeout=60, check=False)
        answer = json.loads(done.stdout)
        expect(done.returncode, 0, done.stdout)
        expect_true(len(answer["unknown"]) >= 3, answer["unknown"])
        expect_true(all(u.get("cause") for u in answer["unknown"]), "each says why")


@test
def pipes_in_place_of_files_are_not_waited_for():
    with tempfile.TemporaryDirectory() as folder:
        host = Host(folder)
        for name in ("etc/docker/daemon.json", "proc/meminfo", "m/config.json", "m/model.safetensors.index.json"):
            path = host.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        for more in ([], ["--model", str(host.root / "m")]):
            done = subprocess.run([str(KONTOR), "doctor", "--root", folder, *more], capture_output=True, timeout=10,
                                  check=False)
            expect_true(done.returncode in (0, 1, 2), done.stderr)


if __name__ == "__main__":
    main()
