#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sluice beside nginx as a plain proxy: same machine, same simulator, same run, rounds in turn.

nginx only moves bytes. Sluice checks the key, reads the JSON, counts tokens, prices and journals. Both
run on one core; the simulator and the load generator share the other. A round of the one
follows a round of the other, and medians are compared, so that what else the machine does hits both. CPU is
user and system time of the whole process (all threads) divided by completed requests or events.
One failed answer voids the round, and a voided round ends the benchmark.

    make bench              about six minutes
    make bench QUICK=1      about a minute and a half

Exit code 8 when a figure misses its target.
"""
import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("SLUICE_BIN", os.path.join(ROOT, "build", "sluice"))
LOAD = os.path.join(ROOT, "build", "tests", "bench", "load")
TICK_US = 1000000 / os.sysconf("SC_CLK_TCK")
DONE = "data: [DONE]"
CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE, OTHER_CORE = str(CORES[0]), str(CORES[-1])


def say(text):
    print(text, flush=True)


DAY_MS, HOUR_MS = 86400000, 3600000
KEYS, MODELS = 200, 3  # as many use it, each so many models


def fill_keys(db, n):
    """Keys that nobody has: their hashes are noise."""
    with db:
        db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO key (id, public_id, sha256, name, "
                   "manage, completions, created_ms, expires_ms) SELECT randomblob(16), printf('zz%010d', i), randomblob(32), printf('k-%d', i), "
                   "0, 2, 0, 0 FROM n", (n,))


def fill_usage(db, requests):
    """The sums that so many requests of thirty days leave behind; returns when these days end."""
    db.create_function("unhex", 1, bytes.fromhex, deterministic=True)
    last_ms = int(time.time() * 1000) // DAY_MS * DAY_MS
    hours = 30 * 24
    each = max(requests // (hours * KEYS * MODELS), 1)
    with db:
        db.execute("WITH RECURSIVE h(h) AS (SELECT 0 UNION ALL SELECT h + 1 FROM h WHERE h < ?1 - 1), k(k) AS (SELECT 1 UNION ALL SELECT k + 1 "
                   "FROM k WHERE k < ?2), m(m) AS (SELECT 0 UNION ALL SELECT m + 1 FROM m WHERE m < ?3 - 1), s(s) AS (SELECT 2 UNION ALL SELECT 4) "
                   "INSERT INTO usage_hour SELECT ?4 - (?1 - h) * 3600000, unhex(printf('0000000000007000800000000000%04x', k)), 'chat', "
                   "'openai/gpt-' || ((k + m) % 8), 'openai', 'gpt-' || ((k + m) % 8), '', x'', x'', x'', s, 'tool-' || (k % 10), 1, "
                   "CASE s WHEN 2 THEN ?5 ELSE 1 END, s / 4, 900 * ?5, 100, 0, 200 * ?5, 0, 1000000 * ?5, 0 FROM h, k, m, s "
                   "WHERE s = 2 OR (h + k) % 12 = 0", (hours, KEYS, MODELS, last_ms, each))
        sums = "sum(requests), sum(failed), sum(input), sum(cache_read), sum(cache_write), sum(output), sum(reasoning), sum(cost_nusd), sum(unpriced)"
        db.execute("INSERT INTO usage_day SELECT at_ms / 86400000 * 86400000, key_id, op, model_asked, provider, model_served, '', member_id, "
                   f"group_id, project_id, status_class, tool, max(kind), {sums} FROM usage_hour GROUP BY 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12")
    return last_ms


def fill_requests(db, n, last_ms):
    """Final requests, one behind the other, spread over the keys and the thirty days."""
    db.create_function("unhex", 1, bytes.fromhex, deterministic=True)
    with db:
        db.execute("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1), t(i, ms) AS (SELECT i, ?2 - 2592000000 + i * "
                   "(2592000000 / ?1) FROM n) INSERT INTO request (id, final, key_id, started_ms, duration_us, overhead_us, op, model_asked, provider, "
                   "model_served, status, attempts, stream, outcome, basis, usage_present, input_uncached, cache_read, cache_write_5m, cache_write_1h, "
                   "input_audio, output, reasoning, output_audio, cost_nusd) SELECT unhex(printf('%012x7000%016x', ms, i)), 1, "
                   "unhex(printf('0000000000007000800000000000%04x', 1 + i % 200)), ms, 900000, 40, 'chat', 'openai/gpt-1', 'openai', 'gpt-1', 200, 1, 1, "
                   "'ok', 'provider_final', 1, 900, 0, 0, 0, 0, 200, 0, 0, 1000000 FROM t", (n, last_ms))


class Failed(Exception):
    """A round that does not count, and why."""


class Bench:
    def __init__(self, home, quick):
        self.home, self.quick = home, quick
        self.children = []
        self.rows = []
        self.limited = None
        self.missed = []

    # ---- processes ----

    def start(self, name, command, core, ready):
        """Starts a program pinned to a core; returns (process, match of `ready` in its output)."""
        log = os.path.join(self.home, name + ".log")
        with open(log, "wb") as out:
            child = subprocess.Popen(["taskset", "-c", core] + command, cwd=self.home, stdin=subprocess.DEVNULL,
                                     stdout=out, stderr=subprocess.STDOUT)
        self.children.append(child)
        end = time.monotonic() + 10
        while ready:
            with open(log, encoding="utf-8", errors="replace") as f:
                text = f.read()
            found = re.search(ready, text)
            if found:
                return child, found
            if child.poll() is not None or time.monotonic() > end:
                raise Failed(f"{name} did not start: {text[-2000:]}")
            time.sleep(0.01)
        return child, None

    def stop(self, child):
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def stop_all(self):
        for child in reversed(self.children):
            self.stop(child)

    def start_sim(self):
        _, found = self.start("sim", [BINARY, "sim", "--listen", "127.0.0.1:0"], OTHER_CORE, r"listening on (\S+):(\d+)")
        self.sim_port = int(found.group(2))

    def start_sluice(self, name="sluice"):
        data = os.path.join(self.home, name)
        config = {"listen": "127.0.0.1:0", "data_dir": data, "workers": 1, "log": {"format": "json", "file": data + ".jsonl"},
                  "limits": {"max_connections": 100000},
                  "providers": {"sim": {"type": "sim", "base_url": f"http://127.0.0.1:{self.sim_port}", "api_key": "x"},
                                "count": {"type": "compatible", "base_url": f"http://127.0.0.1:{self.sim_port}/v1", "api_key": "x"},
                                "claude": {"type": "anthropic", "base_url": f"http://127.0.0.1:{self.sim_port}", "api_key": "x"}},
                  "models": {f"{p}/{m}": {"context_window": 200000, "max_output": 4096, "input_price": "1", "output_price": "2"}
                             for p in ("sim", "claude") for m in (self.plain_model, self.stream_model, self.slow_model)},
                  "policies": {"three": {"models": [f"{p}/{self.plain_model}" for p in ("sim", "claude", "count")]}}}
        path = data + ".yaml"
        with open(path, "w", encoding="utf-8") as f:
            json.dump(config, f)
        if os.path.exists(data + ".jsonl"):
            os.remove(data + ".jsonl")
        child, _ = self.start(name, [BINARY, "serve", "-c", path], GATEWAY_CORE, None)
        port = self.wait_port(child, data + ".jsonl")
        key = subprocess.run([BINARY, "keys", "create", "--name", f"bench{time.time_ns()}", "--secret-only", "-c", path],
                             capture_output=True, text=True, check=True).stdout.strip()
        return child, port, key

    @staticmethod
    def wait_port(child, log):
        end = time.monotonic() + 10
        while time.monotonic() < end and child.poll() is None:
            with contextlib.suppress(OSError):
                with open(log, encoding="utf-8") as f:
                    for line in f:
                        if '"event":"ready"' in line.replace(" ", ""):
                            return int(json.loads(line)["port"])
            time.sleep(0.002)
        raise Failed("sluice did not start")

    def start_nginx(self):
        nginx = next((p for p in (shutil.which("nginx"), "/usr/sbin/nginx", os.path.join(ROOT, "build/nginx/usr/sbin/nginx"))
                      if p and os.path.exists(p)), None)
        if nginx is None:
            raise Failed("nginx is not installed (scripts/setup.sh bench)")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        with open(os.path.join(self.home, "nginx.conf"), "w", encoding="utf-8") as f:
            f.write(f"""
worker_processes 1; daemon off; pid {self.home}/nginx.pid; error_log {self.home}/nginx.err crit;
worker_rlimit_nofile 65536; {"user root;" if os.getuid() == 0 else ""}
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_timeout 300; keepalive_requests 100000000; tcp_nodelay on;
  client_body_temp_path {self.home}/t1; proxy_temp_path {self.home}/t2; fastcgi_temp_path {self.home}/t3;
  uwsgi_temp_path {self.home}/t4; scgi_temp_path {self.home}/t5; client_body_buffer_size 64k;
  upstream sim {{ server 127.0.0.1:{self.sim_port}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    proxy_http_version 1.1; proxy_set_header Connection "";
    location / {{ proxy_pass http://sim; }}
    location /stream/ {{ proxy_buffering off; proxy_pass http://sim/; }}
  }}
}}
""")
        child, _ = self.start("nginx", [nginx, "-e", f"{self.home}/nginx.err", "-c", f"{self.home}/nginx.conf", "-p", self.home],
                              GATEWAY_CORE, None)
        end = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return child, port
            except OSError as e:
                if time.monotonic() > end or child.poll() is not None:
                    raise Failed(f"nginx did not start: {e}") from e
                time.sleep(0.02)

    # ---- measuring ----

    @staticmethod
    def cpu_us(child):
        """User and system time of a process and its children, all threads."""
        pids = [child.pid]
        with contextlib.suppress(OSError):
            with open(f"/proc/{child.pid}/task/{child.pid}/children", encoding="ascii") as f:
                pids += [int(p) for p in f.read().split()]
        total = 0
        for pid in pids:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) * TICK_US
        return total

    @staticmethod
    def resident_kib(child):
        with open(f"/proc/{child.pid}/smaps_rollup", encoding="ascii") as f:
            text = f.read()
        return sum(int(n) for n in re.findall(r"^(?:Private_Dirty|Private_Clean|Shared_Clean|Shared_Dirty):\s+(\d+)", text, re.M))

    def load_command(self, port, model, stream, path, connections, seconds, key=None, more=(), prompt_bytes=1900):
        command = ["taskset", "-c", OTHER_CORE, LOAD, "--port", str(port), "--path", path, "--connections", str(connections),
                   "--seconds", str(seconds), *more]
        # The simulator wants a key as every provider does; nginx passes it on.
        command += ["--header", f"Authorization: Bearer {key or 'provider-key'}"]
        if "--get" in more:
            return command
        body = os.path.join(self.home, f"body-{model.replace('/', '-')}-{prompt_bytes}.json")
        if not os.path.exists(body):
            words = "The quick brown fox jumps over the lazy dog, and then (at 10:45) it does so again. "
            document = {"model": model, "messages": [
                {"role": "user", "content": (words * (prompt_bytes // len(words) + 1))[:prompt_bytes]}]}
            if stream:
                document["stream"] = True
            with open(body, "w", encoding="utf-8") as f:
                json.dump(document, f)
        return command + ["--body", body]

    def load(self, *arguments, **more):
        done = subprocess.run(self.load_command(*arguments, **more), stdin=subprocess.DEVNULL, capture_output=True, text=True)
        try:
            result = json.loads(done.stdout)
        except ValueError:
            raise Failed(f"the load generator failed: {done.stdout}{done.stderr}") from None
        if result["failed"] or not result["completed"]:
            gone = [f"{c.args[3]} ended with {c.returncode}" for c in self.children if c.poll() not in (None, 0)]
            raise Failed(f"{result['failed']} failed answers void the round: {result['why']} {' '.join(gone)}")
        return result

    def row(self, what, ours, theirs, unit, target, other="nginx"):
        """One line of the table; target is the most that the ratio (or the figure, with nothing to compare) may be, or None."""
        ratio = ours / theirs if theirs else None
        verdict = ""
        if target is not None:
            value = ratio if theirs else ours
            good = value <= target
            verdict = "ok" if good else "MISSED"
            if not good:
                self.missed.append(what)
        self.rows.append((what, ours, theirs, ratio, unit, target, verdict))
        show = f"  {what}: {ours:.2f} {unit}"
        if theirs:
            show += f", {other} {theirs:.2f}, ratio {ratio:.2f}"
        say(show + (f"  (target {target}: {verdict})" if target is not None else ""))

    def cpu_of(self, side, stream, seconds, connections, prompt_bytes):
        """CPU a request (or an event) of one round, and the rate. side: nginx, or a provider of the gateway."""
        model = self.stream_model if stream else self.plain_model
        more = ("--expect", DONE) if stream else ()
        unit = "events" if stream else "completed"
        if side == "nginx":
            child, port, key = self.nginx, self.nginx_port, None
            path = ("/stream" if stream else "") + "/v1/chat/completions"
        else:
            key, provider = (self.limited_key(), "sim") if side == "limited" else (self.key, side)
            model = "policy/three" if side == "policy" else f"{provider}/{model}"
            child, port, path = self.sluice, self.sluice_port, "/v1/chat/completions"
        before = self.cpu_us(child)
        result = self.load(port, model, stream, path, connections, seconds, key=key, more=more, prompt_bytes=prompt_bytes)
        return (self.cpu_us(child) - before) / result[unit], result[unit] / result["seconds"]

    def limited_key(self):
        """A key of a user, a group and a project, with limits of every kind for all of them (one of the organisation would hold for
        the other key, too); none is reached."""
        if self.limited is None:
            config = os.path.join(self.home, "sluice.yaml")
            manager = subprocess.run([BINARY, "keys", "create", "--name", "manager", "--manage", "write", "--secret-only", "-c", config],
                                     capture_output=True, text=True, check=True).stdout.strip()
            limits = {"monthly_limit": 1000000, "weekly_limit": 1000000, "daily_limit": 1000000, "requests_per_minute": 10**9,
                      "tokens_per_minute": 10**11, "max_in_flight": 10**6}

            def manage(method, path, body):
                asked = urllib.request.Request(f"http://127.0.0.1:{self.sluice_port}/v1/manage/{path}", json.dumps(body).encode(), method=method,
                                               headers={"Authorization": f"Bearer {manager}", "Content-Type": "application/json"})
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    return json.load(answer)
            owners = {"user_id": manage("POST", "org/member", dict(limits, email="bench@example.org"))["id"],
                      "group_id": manage("POST", "group", dict(limits, name="bench", budget_mode="enforce"))["id"],
                      "project_id": manage("POST", "project", dict(limits, name="bench"))["id"]}
            self.limited = manage("POST", "apikey", dict(limits, name="limited", **owners))["api_key"]
        return self.limited

    def compare_cpu(self, what, stream, rounds, seconds, ours="sim", theirs="nginx", target=1.0, connections=64, prompt_bytes=1900):
        """Two sides in turn. "sim" passes on, "claude" translates, "limited" passes on under every limit there is, "policy"
        by a policy of three members whose first answers."""
        got = {side: [] for side in (theirs, ours)}
        for turn in range(rounds + 1):
            for side, found in got.items():
                figures = self.cpu_of(side, stream, seconds if turn else 0.5, connections, prompt_bytes)
                if turn:  # the first is a warm-up
                    found.append(figures)
        middle = {side: [statistics.median(f[i] for f in found) for i in (0, 1)] for side, found in got.items()}
        self.row(f"CPU, {what}", middle[ours][0], middle[theirs][0], "us", target, "nginx" if theirs == "nginx" else "pass")
        say("    rates in these rounds: " + ", ".join(f"{side} {m[1]:.0f}/s" for side, m in middle.items()))

    def count_tokens(self, rounds, seconds):
        """CPU and time of a count that the gateway makes by itself: the provider of OpenAI's format has none."""
        for name, prompt_bytes, limit in (("2 KB", 1900, 1.0), ("300 KB", 300000, None)):
            times = []
            for turn in range(rounds + 1):
                result = self.load(self.sluice_port, "count/" + self.plain_model, False, "/v1/messages/count_tokens", 1,
                                   seconds if turn else 0.3, key=self.key, prompt_bytes=prompt_bytes)
                if turn:
                    times.append(result["p50_us"] / 1000)
            self.row(f"count_tokens of {name}, p50 at 1 connection", statistics.median(times), None, "ms", limit)

    def compare_latency(self, rounds, seconds):
        """What each adds to a request at one connection, against the simulator asked directly."""
        got = {"direct": [], "nginx": [], "sluice": []}
        for turn in range(rounds + 1):
            for name, port, model, key in (("direct", self.sim_port, self.plain_model, None),
                                           ("nginx", self.nginx_port, self.plain_model, None),
                                           ("sluice", self.sluice_port, "sim/" + self.plain_model, self.key)):
                result = self.load(port, model, False, "/v1/chat/completions", 1, seconds if turn else 0.3, key=key)
                if turn:
                    got[name].append((result["p50_us"], result["p99_us"]))
        for index, name in ((0, "p50"), (1, "p99")):
            middle = {k: statistics.median(v[index] for v in values) for k, values in got.items()}
            self.row(f"added latency {name}, 1 connection", middle["sluice"] - middle["direct"],
                     max(middle["nginx"] - middle["direct"], 1), "us", 1.0)
            say(f"    direct {middle['direct']:.0f} us")

    @contextlib.contextmanager
    def held(self, *arguments, **more):
        """Connections that stay as they are inside the block."""
        child = subprocess.Popen(self.load_command(*arguments, **more), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            line = child.stdout.readline()
            if line.strip() != "ready":
                raise Failed(f"the connections could not be held: {line}")
            yield
        finally:
            child.stdin.close()
            child.wait(60)

    def memory(self, connections, streams):
        """Resident memory of a fresh gateway: idle, with idle connections, with live streams."""
        child, port, key = self.start_sluice("memory")
        self.load(port, "sim/" + self.plain_model, False, "/v1/chat/completions", 1, 0.2, key=key)
        time.sleep(0.3)
        idle = self.resident_kib(child)
        self.row("memory, idle", idle / 1024, None, "MiB", 12)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = (hard if hard != resource.RLIM_INFINITY else 1 << 20) - 500
        connections, streams = min(connections, room), min(streams, room // 2)
        spread = ("--addresses", "8")
        with self.held(port, "idle", False, "/livez", connections, 0, key=key, more=("--get", "--hold", "idle", *spread)):
            time.sleep(0.5)
            held = self.resident_kib(child)
        self.row(f"memory, {connections} idle connections", held / 1024, None, "MiB", None)
        say(f"    {(held - idle) / connections:.2f} KiB a connection")
        self.stop(child)
        child, port, key = self.start_sluice("memory2")
        self.load(port, "sim/" + self.plain_model, False, "/v1/chat/completions", 1, 0.2, key=key)
        idle = self.resident_kib(child)
        with self.held(port, "sim/" + self.slow_model, True, "/v1/chat/completions", streams, 0, key=key,
                       more=("--hold", "stream", *spread)):
            time.sleep(1.5)
            held = self.resident_kib(child)
        self.row(f"memory, {streams} live streams", held / 1024, None, "MiB", None)
        self.row("memory a live stream", (held - idle) / streams, None, "KiB", 40)
        self.stop(child)

    def start_up(self, rounds):
        """From the start of the process to the first answer, with a database that is there."""
        child, port, key = self.start_sluice("start")
        self.stop(child)
        path = os.path.join(self.home, "start.yaml")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        took = []
        body = json.dumps({"model": "sim/" + self.plain_model, "messages": [{"role": "user", "content": "hi"}]}).encode()
        for _ in range(rounds):
            started = time.monotonic()
            child, _ = self.start("start", [BINARY, "serve", "-c", path, "--listen", f"127.0.0.1:{port}"], GATEWAY_CORE, None)
            request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body,
                                             {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
            while True:
                try:
                    with urllib.request.urlopen(request, timeout=5) as answer:
                        answer.read()
                    break
                except OSError:
                    if time.monotonic() - started > 10:
                        raise Failed("no answer after the start") from None
                    time.sleep(0.001)
            took.append((time.monotonic() - started) * 1000)
            self.stop(child)
        self.row("start-up to first answer", statistics.median(took), None, "ms", 100)

    # ---- what is remembered ----

    def key_table(self, rounds, seconds, n=100000):
        """A hundred thousand keys against ten: CPU a request, and memory a key."""
        sides = {}
        for name in ("keys10", "keys100k"):
            child, _, _ = self.start_sluice(name)
            self.stop(child)
            with contextlib.closing(sqlite3.connect(os.path.join(self.home, name, "sluice.db"))) as db:
                fill_keys(db, 10 if name == "keys10" else n)
            sides[name] = self.start_sluice(name)
        for _, port, key in sides.values():
            self.load(port, "sim/" + self.plain_model, False, "/v1/chat/completions", 64, 0.5, key=key)
        memory = {name: self.resident_kib(side[0]) for name, side in sides.items()}
        got = {name: [] for name in sides}
        for _ in range(rounds):
            for name, (child, port, key) in sides.items():
                before = self.cpu_us(child)
                result = self.load(port, "sim/" + self.plain_model, False, "/v1/chat/completions", 64, seconds, key=key)
                got[name].append((self.cpu_us(child) - before) / result["completed"])
        self.row("CPU, 2 KB request with 100,000 keys, against 10", statistics.median(got["keys100k"]), statistics.median(got["keys10"]), "us",
                 1.1, "10 keys")
        self.row("memory a key", (memory["keys100k"] - memory["keys10"]) * 1024 / n, None, "B", None)
        for child, _, _ in sides.values():
            self.stop(child)

    def asked_ms(self, port, key, path, times=9):
        """The median time of a management request."""
        took = []
        for _ in range(times):
            asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"})
            started = time.monotonic()
            try:
                with urllib.request.urlopen(asked, timeout=60) as answer:
                    answer.read()
            except urllib.error.HTTPError as e:
                raise Failed(f"{path}: {e.code} {e.read()[:500]}") from None
            took.append((time.monotonic() - started) * 1000)
        return statistics.median(took)

    def management(self, requests, sums_of):
        """Usage of thirty days where ten million requests were summed; lists of a million rows."""
        child, _, _ = self.start_sluice("manage")
        self.stop(child)
        with contextlib.closing(sqlite3.connect(os.path.join(self.home, "manage", "sluice.db"))) as db:
            last_ms = fill_usage(db, sums_of)
            fill_requests(db, requests, last_ms)
        child, port, _ = self.start_sluice("manage")
        config = os.path.join(self.home, "manage.yaml")
        key = subprocess.run([BINARY, "keys", "create", "--name", "reader", "--manage", "read", "--secret-only", "-c", config],
                             capture_output=True, text=True, check=True).stdout.strip()

        def when(ms):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))
        usage = f"/v1/manage/org/usage?start={when(last_ms - 30 * DAY_MS)}&end={when(last_ms)}"
        cut = f"/v1/manage/org/usage?start={when(last_ms - 30 * DAY_MS + 5 * HOUR_MS)}&end={when(last_ms - 7 * HOUR_MS)}"
        some = "00000000-0000-7000-8000-0000000000c8"
        for what, path, target in (("usage of 30 days", usage, 50), ("usage of 30 days by model and key", usage + "&group_by=model_used,api_key_id", None),
                                   ("usage of 30 days by status and tool", usage + "&group_by=status,tool", None),
                                   ("usage of 30 days with cut ends, by model", cut + "&group_by=model_used", None),
                                   ("usage of 30 days of a key", usage.replace("org", "apikey/" + some), 50),
                                   ("usage of 30 days by the hour", usage + "&resolution=hour", None),
                                   ("list of keys", "/v1/manage/apikey", None), ("list of requests", "/v1/manage/request", None),
                                   ("list of requests of a key", f"/v1/manage/apikey/{some}/request", None)):
            self.row(f"{what}, p50", self.asked_ms(port, key, path), None, "ms", target)
        self.stop(child)

    @staticmethod
    def store_us(child):
        """User and system time of the thread that turns journals into rows."""
        for task in os.listdir(f"/proc/{child.pid}/task"):
            with open(f"/proc/{child.pid}/task/{task}/stat", encoding="ascii", errors="replace") as f:
                name, _, rest = f.read().partition("(")[2].rpartition(")")
            if name == "store":
                return sum(int(n) for n in rest.split()[11:13]) * TICK_US
        raise Failed("there is no store thread")

    def ingest(self, seconds):
        """What a record costs the store thread, and so how many it takes in a second of its core."""
        child, port, key = self.start_sluice("ingest")
        before = self.store_us(child)
        result = self.load(port, "sim/" + self.plain_model, False, "/v1/chat/completions", 64, seconds, key=key)
        time.sleep(1)  # records wait for the next round
        cost = (self.store_us(child) - before) / result["completed"]
        self.row("journal ingest, CPU a record", cost, None, "us", None)
        say(f"    {1000000 / cost:.0f} records a second" if cost else "    too few records to say")
        self.stop(child)

    # ---- all of it ----

    plain_model, stream_model, slow_model = "gpt+bytes=1500", "gpt+events=100", "gpt+events=600+gap=500"

    def run(self):
        rounds, seconds = (2, 1.5) if self.quick else (5, 4)
        self.start_sim()
        self.nginx, self.nginx_port = self.start_nginx()
        self.sluice, self.sluice_port, self.key = self.start_sluice()
        say(f"gateway on core {GATEWAY_CORE}, simulator and load on core {OTHER_CORE}; {rounds} rounds of {seconds} s each in turn")
        self.compare_cpu("2 KB chat request, 64 connections", False, rounds, seconds)
        self.compare_cpu("event of a 100-event stream, 64 connections", True, rounds, seconds)
        self.compare_cpu("2 KB request translated, against pass mode", False, rounds, seconds, "claude", "sim", 1.6)
        self.compare_cpu("event of a translated stream, against pass mode", True, rounds, seconds, "claude", "sim", 1.6)
        self.compare_cpu("300 KB request", False, rounds, seconds, target=1.5, connections=16, prompt_bytes=300000)
        self.compare_cpu("300 KB request translated, against pass mode", False, rounds, seconds, "claude", "sim", None, 16, 300000)
        self.compare_cpu("2 KB request under all limits, against none", False, rounds, seconds, "limited", "sim", 1.1)
        self.compare_cpu("2 KB request by a policy of three, against none", False, rounds, seconds, "policy", "sim", 1.05)
        self.count_tokens(rounds, 0.5)
        self.compare_latency(rounds, 1 if self.quick else 2)
        self.ingest(2 if self.quick else 4)
        self.key_table(2 if self.quick else 3, 1 if self.quick else 2)
        self.management(*((100000, 10**6) if self.quick else (10**6, 10**7)))
        self.memory(*((2000, 1000) if self.quick else (10000, 5000)))
        self.start_up(5 if self.quick else 11)

    def train(self):
        """The paths that matter, for a build that counts (make release): its profile is written when it ends."""
        self.start_sim()
        self.sluice, self.sluice_port, self.key = self.start_sluice()
        for connections in (1, 64):
            self.load(self.sluice_port, "sim/" + self.plain_model, False, "/v1/chat/completions", connections, 2, key=self.key)
            self.load(self.sluice_port, "sim/" + self.stream_model, True, "/v1/chat/completions", connections, 2, key=self.key,
                      more=("--expect", DONE))
        self.load(self.sluice_port, "claude/" + self.plain_model, False, "/v1/chat/completions", 16, 1, key=self.key)
        self.load(self.sluice_port, "claude/" + self.stream_model, True, "/v1/chat/completions", 16, 1, key=self.key, more=("--expect", DONE))
        self.load(self.sluice_port, "sim/" + self.plain_model, False, "/v1/chat/completions", 16, 1, key=self.key, prompt_bytes=300000)
        self.load(self.sluice_port, "count/" + self.plain_model, False, "/v1/messages/count_tokens", 1, 0.5, key=self.key)

    def table(self):
        say("")
        say(f"{'figure':<52}{'sluice':>10}{'other':>10}{'ratio':>8}  {'unit':<5}{'target':>9}")
        for what, ours, theirs, ratio, unit, target, verdict in self.rows:
            say(f"{what:<52}{ours:>10.2f}{f'{theirs:.2f}' if theirs else '-':>10}{f'{ratio:.2f}' if ratio else '-':>8}"
                f"  {unit:<5}{f'<= {target}' if target is not None else '-':>9}  {verdict}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="about a minute, fewer connections")
    parser.add_argument("--train", action="store_true", help="only run the load, for a profile-guided build")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (65536, max(hard, 65536)))
    for needed in (BINARY, LOAD):
        if not os.path.exists(needed):
            say(f"bench: {needed} is not there; run `make build` first")
            return 1
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as home:
        os.chmod(home, 0o755)
        bench = Bench(home, options.quick)
        try:
            bench.train() if options.train else bench.run()
        except Failed as e:
            say(f"bench: {e}")
            return 1
        finally:
            bench.stop_all()
            if not options.train:
                bench.table()
    return 8 if bench.missed else 0


if __name__ == "__main__":
    sys.exit(main())
