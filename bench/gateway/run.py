#!/usr/bin/env python3
"""Gateway benchmark: nginx, HAProxy and Kontor side by side, same machine, same upstream, one run.

    bench/gateway/run.py [--rounds N] [--only NAME,...] [--cases NAME,...] [--json FILE]

For each case and each proxy: processor time of the proxy (all threads and child processes, user and
system) per request or per relayed event, requests per second, latency.  Rounds are interleaved, the
median counts.  A proxy that is not installed is left out.  Needs build/kontor and
build/bench/gateway_rig (`ninja -C build kontor bench/gateway_rig`).
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RIG = os.path.join(ROOT, "build/bench/gateway_rig")
KONTOR = os.path.join(ROOT, "build/kontor")
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")

NGINX = """
worker_processes 1; daemon off; error_log {folder}/error.log; pid {folder}/pid;

events {{ worker_connections 19900; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    keepalive_requests 10000000; client_body_buffer_size 1m; client_max_body_size 64m;
    upstream u {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 10000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection "";
                     proxy_buffering off; proxy_read_timeout 600s; }}
    }}
}}
"""
HAPROXY = """
global
    nbthread 1
    maxconn 9900
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    option http-keep-alive
    option abortonclose
    http-reuse always
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s 127.0.0.1:{upstream}
"""
PLAIN = """
listen:
  - address: 127.0.0.1:{port}
upstreams:
  - name: u
    url: http://127.0.0.1:{upstream}/v1
    provider: own
    region: de
    health: {{path: none}} # the upstream is there during a case only
pools:
  - {{name: p, members: [u], ceiling: private, region: de}}
models:
  - {{name: m, pools: [p]}}
"""
GOVERNED = PLAIN + """
state_dir: {folder}/state
auth: {{keys: true}}
policy:
  default_label: internal
  rules:
    - {{name: others, when: {{teams: [other]}}, deny: true}}
    - {{name: small, when: {{label_at_most: internal}}, allow: [p]}}
limits:
  - {{subject: "model:m", requests_per_minute: 100000000, tokens_per_minute: 100000000000, parallel: 30000}}
  - {{subject: "provider:own", money: "1000000.00", period: month}}
prices:
  - {{provider: own, model: "*", currency: USD, input: "0.10", output: "0.30",
     valid_from: "2026-01-01", source: made up for a benchmark}}
"""

# name: mode, connections, requests, further arguments, unit of the processor time
CASES = {
    "plain-1": ("plain", 1, 4000, [], "request"),
    "plain-32": ("plain", 32, 30000, [], "request"),
    "body-256k": ("plain", 8, 2000, ["body=262144"], "request"),
    "stream-100": ("stream", 100, 400, ["events=200", "interval_us=5000"], "event"),
    "cancel-plain": ("cancel-plain", 1, 100, [], "request"),
    "cancel-stream": ("cancel-stream", 1, 100, ["events=100000", "interval_us=2000"], "request"),
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"a proxy ended with {process.returncode}: {' '.join(process.args)}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit("the proxy opened no port within 10 s")


def family(pid):
    """The process and its children."""
    found = [pid]
    for p in found:
        try:
            with open(f"/proc/{p}/task/{p}/children") as f:
                found += [int(c) for c in f.read().split()]
        except OSError:
            pass
    return found


def cpu_s(pid):
    """User and system time of a family of processes, in seconds (nanoseconds where the kernel tells)."""
    total = 0.0
    for p in family(pid):
        for task in os.listdir(f"/proc/{p}/task"):
            try:
                with open(f"/proc/{p}/task/{task}/schedstat") as f:
                    total += int(f.read().split()[0]) / 1e9
            except (OSError, ValueError, IndexError):
                with open(f"/proc/{p}/task/{task}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) * TICK_S
    return total


def rss_kib(pid):
    total = 0
    for p in family(pid):
        with open(f"/proc/{p}/status") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return total


class Proxy:
    """One proxy, running, in a folder of its own."""

    def __init__(self, name, folder, upstream):
        self.name = name
        self.port = free_port()
        self.key = None
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        command = getattr(self, "start_" + name.replace("-", "_"))(upstream)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        wait_for_port(self.port, self.process)
        self.start_ms = (time.monotonic() - self.begun) * 1000
        self.idle_kib = rss_kib(self.process.pid)

    def write(self, name, template, upstream):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(template.format(folder=self.folder, port=self.port, upstream=upstream))
        return path

    def start_nginx(self, upstream):
        return ["nginx", "-p", self.folder, "-c", self.write("nginx.conf", NGINX, upstream)]

    def start_haproxy(self, upstream):
        return ["haproxy", "-db", "-f", self.write("haproxy.cfg", HAPROXY, upstream)]

    def start_kontor_plain(self, upstream):
        return [KONTOR, "gateway", "--config", self.write("plain.yaml", PLAIN, upstream)]

    def start_kontor_governed(self, upstream):
        state = os.path.join(self.folder, "state")
        os.makedirs(state, mode=0o700)
        made = subprocess.run([KONTOR, "keys", "create", "--state-dir", state, "--name", "bench", "--team", "risk",
                               "--label", "internal", "--json"], check=True, stdout=subprocess.PIPE)
        self.key = json.loads(made.stdout)["key"]
        return [KONTOR, "gateway", "--config", self.write("governed.yaml", GOVERNED, upstream)]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            sys.exit(f"{self.name} did not stop")
        self.log.close()


def measure(proxy, upstream, case):
    mode, conns, requests, more, unit = CASES[case]
    args = [RIG, mode, str(upstream), str(proxy.port), str(conns), str(requests), *more]
    if proxy.key:
        args.append("key=" + proxy.key)
    before = cpu_s(proxy.process.pid)
    ran = subprocess.run(args, stdout=subprocess.PIPE, check=False)
    if ran.returncode != 0:
        sys.exit(f"{proxy.name}: {case} failed; see {proxy.folder}")
    time.sleep(0.3)  # books and logs written behind the answers count as well
    result = json.loads(ran.stdout)
    used = cpu_s(proxy.process.pid) - before
    n = result.get("events") if unit == "event" else result.get("requests", result.get("cancels"))
    result["cpu_us"] = used * 1e6 / n
    result["rate"] = n / result["seconds"] if "seconds" in result else 0
    result["rss_kib"] = rss_kib(proxy.process.pid)
    return result


def many_streams(proxy, upstream, n):
    """KiB per live stream: n streams of one event a second, memory read while they live."""
    before = rss_kib(proxy.process.pid)
    args = [RIG, "stream", str(upstream), str(proxy.port), str(n), str(n), "events=12", "interval_us=1000000"]
    if proxy.key:
        args.append("key=" + proxy.key)
    with subprocess.Popen(args, stdout=subprocess.PIPE) as p:
        time.sleep(8)
        live = rss_kib(proxy.process.pid)
        out = p.communicate()[0]
        if p.returncode != 0:
            sys.exit(f"{proxy.name}: {n} streams failed")
    return {"kib_per_stream": (live - before) / n, **json.loads(out)}


def median(results, name):
    return statistics.median(r[name] for r in results if name in r) if any(name in r for r in results) else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--only", default="nginx,haproxy,kontor-plain,kontor-governed")
    p.add_argument("--cases", default=",".join(CASES))
    p.add_argument("--streams", type=int, default=0, help="also hold that many live streams (10000)")
    p.add_argument("--json", help="write all figures to a file")
    args = p.parse_args()
    names = [n for n in args.only.split(",") if n.startswith("kontor") or shutil.which(n)]
    everything = {}
    with tempfile.TemporaryDirectory(prefix="kontor-bench-") as folder:
        upstream = free_port()
        proxies = [Proxy(n, folder, upstream) for n in names]
        for proxy in proxies:
            print(f"{proxy.name:16} start {proxy.start_ms:6.1f} ms   idle {proxy.idle_kib / 1024:6.1f} MiB")
        for case in args.cases.split(","):
            results = {n: [] for n in names}
            for _ in range(args.rounds):
                for proxy in proxies:
                    results[proxy.name].append(measure(proxy, upstream, case))
            print(f"\n{case} (processor time per {CASES[case][4]})")
            for n in names:
                r = results[n]
                cells = [f"{median(r, 'cpu_us'):8.2f} us", f"{median(r, 'rate'):9.0f}/s"]
                cells += [f"{k} {median(r, k):.0f}" for k in ("p50_us", "p99_us", "first_p50_us", "event_transit_us",
                                                             "worst_us", "errors") if any(k in x for x in r)]
                print(f"  {n:16} " + "  ".join(cells))
            everything[case] = results
        if args.streams:
            print(f"\n{args.streams} live streams")
            for proxy in proxies:
                r = many_streams(proxy, upstream, args.streams)
                everything.setdefault("streams", {})[proxy.name] = r
                print(f"  {proxy.name:16} {r['kib_per_stream']:.1f} KiB each, {r['errors']} errors")
        for proxy in proxies:
            proxy.stop()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(everything, f, indent=1)


if __name__ == "__main__":
    main()
