# SPDX-License-Identifier: Apache-2.0
"""What the whole-program tests are made of: the simulator, the gateway, raw sockets, a ledger reader.

Everything runs the real binary ($SLUICE_BIN, else build/sluice) on loopback ports chosen by the
kernel, in a directory of its own. A process that stops badly, or leaves a sanitizer's report or a provider's
key behind, fails the test it belonged to.
"""
import contextlib
import glob
import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import threading
import time

import requests

for name in list(os.environ):  # loopback needs no proxy, and certificates are the tests' own
    if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        del os.environ[name]

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("SLUICE_BIN", os.path.join(ROOT, "build", "sluice"))
PROVIDER_KEY = "sk-provider-canary-7f3a9c51e2"  # must never be seen outside the gateway's memory
REPORTS = re.compile(rb"ERROR: (Address|Leak|Undefined)\w*Sanitizer|runtime error:|Assertion .* failed")
WAIT_S = 20  # for things that happen at once unless the machine is very busy


def wait_until(condition, what, seconds=WAIT_S, step=0.02):
    """Returns the first true value of condition()."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not happen within {seconds} s: {what}")
        time.sleep(step)


class Program:
    """A running process of the binary; stdout and stderr go to files in `home`."""

    def __init__(self, name, arguments, home, env=None):
        self.name, self.home = name, str(home)
        self.out_path = os.path.join(self.home, f"{name}.out")
        self.err_path = os.path.join(self.home, f"{name}.err")
        clean = {k: v for k, v in os.environ.items() if not re.match(r"(SLUICE_|OPENAI_|ANTHROPIC_)", k)}
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.child = subprocess.Popen([BINARY] + arguments, cwd=self.home, stdin=subprocess.DEVNULL,
                                          stdout=out, stderr=err, env=dict(clean, **(env or {})))

    @property
    def pid(self):
        return self.child.pid

    def out(self):
        with open(self.out_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def err(self):
        with open(self.err_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for_line(self, pattern):
        """The match of `pattern` in stdout or stderr, as soon as it is there."""
        def look():
            found = re.search(pattern, self.out() + self.err())
            if found is None and self.child.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.child.returncode}: {self.err()[-3000:]}")
            return found
        return wait_until(look, f"{self.name} prints {pattern!r}")

    def signal(self, number):
        self.child.send_signal(number)

    def stop(self, seconds=WAIT_S):
        """SIGTERM; returns the exit code."""
        if self.child.poll() is None:
            self.child.terminate()
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"{self.name} did not stop within {seconds} s: {self.err()[-3000:]}")

    def kill9(self):
        self.child.kill()
        self.child.wait()

    def check(self):
        """No sanitizer has reported anything."""
        with open(self.err_path, "rb") as f:
            text = f.read()
        found = REPORTS.search(text)
        assert not found, f"{self.name}: {text[max(0, found.start() - 200):found.start() + 4000].decode(errors='replace')}"


class Sim(Program):
    """The simulated provider: an independent witness with its own bill."""

    def __init__(self, home, name="sim", arguments=(), address="127.0.0.1:0"):
        super().__init__(name, ["sim", "--listen", address, *arguments], home)
        found = self.wait_for_line(r"listening on (\S+):(\d+)")
        self.host, self.port = found.group(1), int(found.group(2))
        self.scheme = "https" if "--tls-cert" in arguments else "http"
        self.url = f"{self.scheme}://{self.host}:{self.port}"

    def get(self, path):
        answer = requests.get(f"{self.url}/_sim/{path}", timeout=10, verify=False)
        answer.raise_for_status()
        return answer.json()

    def last(self):
        """The last request as it arrived: head (text), headers ({lower-case name: value}), body (text)."""
        return self.requests(1)[-1]

    def requests(self, n=16):
        found = self.get(f"last?n={n}")["requests"]
        for request in found:
            lines = request["head"].replace("\r", "").split("\n")
            request["line"] = lines[0]
            request["headers"] = {k.strip().lower(): v.strip() for k, c, v in
                                  (line.partition(":") for line in lines[1:]) if c}
        return found

    def order(self, script, count=1):
        """The next requests are answered by this script, whatever they ask for."""
        requests.post(f"{self.url}/_sim/script?count={count}", data=script, timeout=10, verify=False).raise_for_status()

    def counts(self):
        return self.get("counts")

    def bill(self, since=0):
        """The simulator's own entries, oldest first."""
        return self.get(f"bill?since={since}")["entries"]

    def idle(self):
        """Waits until no request is open, and returns the counts."""
        return wait_until(lambda: (lambda c: c if c["open"] == 0 else None)(self.counts()), "nothing is open at the simulator")


class Gateway(Program):
    """`sluice serve -c sluice.yaml` with one inference key, unless the test makes its own."""

    postgres = None  # a server that gateways keep their tables in, each in a database of its own

    def __init__(self, home, config, env=None, name="gateway"):
        self.db_name = None
        if self.postgres is not None and "database" not in config:
            config = dict(config, database=self.postgres.new_database())
            self.db_name = f"test{self.postgres.n}"
        self.config = dict({"listen": "127.0.0.1:0", "data_dir": "./data", "workers": 1}, **config)
        self.env = env
        self.damaged = False  # by the test: its ledger does not hold
        self.config_path = os.path.join(str(home), "sluice.yaml")
        self.write_config()
        self.data_dir = os.path.join(str(home), self.config["data_dir"])
        self.host = self.config["listen"].rsplit(":", 1)[0]
        self.tls = "tls_cert" in json.dumps(config) or "tls" in config
        super().__init__(name, ["serve", "-c", self.config_path], home, env)
        self.wait_ready()
        self.key = self.make_key("test")

    def write_config(self):
        with open(self.config_path, "w", encoding="utf-8") as f:
            json.dump(self.config, f, indent=1)  # JSON is YAML

    def wait_ready(self):
        mark = getattr(self, "mark", 0)
        def look():
            if self.child.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.child.returncode}: {self.err()[-3000:]}")
            return [line for line in self.lines()[mark:] if line.get("event") == "ready"]
        line = wait_until(look, "the gateway is ready")[0]
        self.port = int(line["port"])
        self.url = f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def again(self):
        """Starts the program again on the same data, after a stop or a kill."""
        self.mark = len(self.lines())
        super().__init__(self.name, ["serve", "-c", self.config_path], self.home, self.env)
        self.wait_ready()

    def command(self, *arguments, expect=0, env=None):
        """Runs a command of the binary against this gateway's configuration; returns stdout."""
        done = command(*arguments, "-c", self.config_path, cwd=self.home, env=dict(self.env or {}, **(env or {})))
        assert done.returncode == expect, f"{arguments}: exit {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def make_key(self, name, *arguments):
        return self.command("keys", "create", "--name", name, "--secret-only", *arguments).strip()

    def headers(self, **more):
        return dict({"Authorization": f"Bearer {self.key}"}, **more)

    def post(self, path, body, headers=None, **more):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        sent = dict({"Content-Type": "application/json"}, **(self.headers() if headers is None else headers))
        more.setdefault("timeout", 30)
        return requests.post(self.url + path, data=body, headers=sent, **more)

    def get(self, path, headers=None, **more):
        more.setdefault("timeout", 30)
        return requests.get(self.url + path, headers=self.headers() if headers is None else headers, **more)

    def raw(self, **more):
        return Raw(self.host, self.port, **more)

    def raw_request(self, path, body, headers=(), method="POST", key=True):
        """The bytes of a well-formed request."""
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", *headers]
        if key:
            lines.append(f"Authorization: Bearer {self.key}")
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def lines(self):
        """The log's JSON lines."""
        found = []
        if not hasattr(self, "err_path"):
            return found
        for line in self.err().split("\n"):
            if line.startswith("{"):
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return found

    def access(self, n=1):
        """The access lines, once there are at least n."""
        def look():
            found = [line for line in self.lines() if line.get("event") == "request"]
            return found if len(found) >= n else None
        return wait_until(look, f"{n} access lines")

    def database(self):
        found = sorted(glob.glob(os.path.join(self.data_dir, "*.db")))
        return found[0] if found else None

    def alter(self, change):
        """Runs a statement on the tables behind the program's back; how many rows it changed."""
        if self.db_name is not None:
            return int(self.postgres.sql(f"WITH c AS ({change} RETURNING 1) SELECT count(*) FROM c", self.db_name)[0][0])
        with contextlib.closing(sqlite3.connect(self.database())) as db, db:
            return db.execute(change).rowcount

    def rows(self, n=1):
        """The ledger's request rows in order of start, once there are at least n."""
        def look():
            if self.db_name is not None:
                found = self.postgres.sql("SELECT row_to_json(r) FROM request r ORDER BY started_ms, id", self.db_name)
                return [json.loads(row[0]) for row in found] if len(found) >= n else None
            path = self.database()
            if path is None:
                return None
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as db:
                db.row_factory = sqlite3.Row
                found = [dict(row) for row in db.execute("SELECT * FROM request ORDER BY started_ms, id")]
            return found if len(found) >= n else None
        return wait_until(look, f"{n} rows in the ledger")

    def metric(self, name, **labels):
        """The sum of the series of `name` that have these labels."""
        total = 0.0
        for line in self.get("/metrics", headers={}).text.split("\n"):
            found = re.match(r"(\w+)(?:\{(.*)\})? (\S+)$", line)
            if found and found.group(1) == name:
                have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found.group(2) or ""))
                if all(have.get(k) == v for k, v in labels.items()):
                    total += float(found.group(3))
        return total

    def leaves_no(self, secret):
        """`secret` is in nothing that this gateway wrote, its configuration aside."""
        needle = secret.encode()
        for at, _, files in os.walk(self.home):
            for file in files:
                path = os.path.join(at, file)
                if path == self.config_path or not file.startswith(self.name) and not at.startswith(self.data_dir):
                    continue
                with open(path, "rb") as f:
                    assert needle not in f.read(), f"{secret[:12]}... is in {path}"

    def finish(self):
        """The end of a test: the gateway stops well and leaves nothing it should not."""
        if self.child.poll() is None:
            code = self.stop()
            self.check()
            assert code == 0, f"the gateway ended with {code}: {self.err()[-3000:]}"
        self.check()
        self.leaves_no(PROVIDER_KEY)
        if not self.damaged:
            self.command("audit", "ledger")


def command(*arguments, cwd=None, env=None, timeout=60):
    """Runs the binary to its end."""
    clean = {k: v for k, v in os.environ.items() if not re.match(r"(SLUICE_|OPENAI_|ANTHROPIC_)", k)}
    return subprocess.run([BINARY, *arguments], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=timeout, env=dict(clean, **(env or {})))


class Closed(Exception):
    """The peer ended the connection where more was expected."""


class Raw:
    """A socket that sends exact bytes and reads exact bytes, with a deadline on everything."""

    def __init__(self, host, port, deadline=WAIT_S, receive_buffer=None):
        self.deadline = deadline
        self.buffer = b""
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(deadline)
        self.socket.connect((host, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data, piece=None):
        """All at once, or in pieces of `piece` bytes, each a packet of its own."""
        for at in range(0, len(data), piece or len(data) or 1):
            self.socket.sendall(data[at:at + (piece or len(data))])

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(self.buffer)
        self.buffer += data

    def read(self, n):
        while len(self.buffer) < n:
            self._more()
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def read_until(self, mark):
        while mark not in self.buffer:
            self._more()
        end = self.buffer.index(mark) + len(mark)
        taken, self.buffer = self.buffer[:end], self.buffer[end:]
        return taken

    def read_to_end(self):
        """Everything until the peer closes; a reset counts as an end."""
        with contextlib.suppress(Closed, ConnectionResetError):
            while True:
                self._more()
        taken, self.buffer = self.buffer, b""
        return taken

    def read_head(self):
        """(status, {lower-case name: value})."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                fields[name.lower()] = value.strip()
        return int(lines[0].split(" ")[1]), fields

    def read_chunk(self):
        """One chunk's data; b"" for the last one."""
        size = int(self.read_until(b"\r\n").split(b";")[0], 16)
        data = self.read(size)
        assert self.read(2) == b"\r\n"
        return data

    def read_answer(self):
        """(status, fields, body) of one answer with a length or in chunks."""
        status, fields = self.read_head()
        while status in (100, 103):
            status, fields = self.read_head()
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                data = self.read_chunk()
                if not data:
                    return status, fields, body
                body += data
        return status, fields, self.read(int(fields.get("content-length", 0)))

    def is_closed(self, seconds=WAIT_S):
        """The peer closes (or resets) without another byte."""
        self.socket.settimeout(seconds)
        try:
            return self.buffer == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(self.deadline)

    def end(self):
        """FIN: nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        """RST instead of a proper end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def events(text):
    """The events of a stream's text: a list of (name or None, data)."""
    if isinstance(text, bytes):
        text = text.decode()
    found = []
    for block in re.split(r"\r\n\r\n|\n\n|\r\r", text):
        name, data = None, []
        for line in re.split(r"\r\n|\n|\r", block):
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        if data:
            found.append((name, "\n".join(data)))
    return found


def chunks(text):
    """The JSON documents of an OpenAI stream, without [DONE]."""
    return [json.loads(data) for _, data in events(text) if not data.startswith("[DONE]")]


def is_done(text):
    return any(data.startswith("[DONE]") for _, data in events(text))


def text_of(found):
    """The text of an OpenAI stream's chunks."""
    return "".join(c["delta"].get("content") or "" for chunk in found for c in chunk.get("choices", ()))


def chat(model="sim/echo", content="Hello there, how are you?", **more):
    return dict({"model": model, "messages": [{"role": "user", "content": content}]}, **more)


def messages(model="claude/echo", content="Hello there, how are you?", **more):
    return dict({"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": content}]}, **more)


class Firehose:
    """A provider that streams without end, as fast as it is let, and counts what it got rid of."""

    def __init__(self):
        self.sent, self.over = 0, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self.listener.accept()[0],), daemon=True).start()

    def _serve(self, client):
        text = json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [
            {"index": 0, "delta": {"content": "x" * 8000}, "finish_reason": None}]})
        event = f"data: {text}\n\n".encode()
        chunk = b"%x\r\n%s\r\n" % (len(event), event)
        with contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                client.sendall(chunk)
                self.sent += len(chunk)
        self.over = True
        client.close()

    def standstill(self):
        """Waits until nothing more is taken; returns how many bytes were."""
        def still():
            before = self.sent
            time.sleep(0.4)
            return before if before == self.sent else None
        return wait_until(still, "the provider is stopped")

    def stop(self):
        self.listener.close()


def providers(sim, ca_file=None):
    """The simulator in three roles: OpenAI's own format, a compatible server, Anthropic's."""
    more = {"ca_file": ca_file} if ca_file else {}
    return {"sim": dict({"type": "compatible", "base_url": sim.url + "/v1", "api_key": PROVIDER_KEY}, **more),
            "openai": dict({"type": "openai", "base_url": sim.url + "/v1", "api_key": PROVIDER_KEY}, **more),
            "claude": dict({"type": "anthropic", "base_url": sim.url, "api_key": PROVIDER_KEY}, **more)}


# Short timers, so that a fault is over soon.
IMPATIENT = {"timeouts": {"connect": "1s", "header": "1s", "plain_header": "1s", "first_event": "1s",
                          "stream_idle": "1s", "total": "10s"}}
CORS = {"cors": {"origins": ["https://app.example"]}}

# What a token costs in the tests: 1 and 2 dollars a million, so that sums are read at a glance.
PRICES = {"context_window": 200000, "input_price": "1", "output_price": "2", "cached_price": "0.1", "caching_price": "1.25"}


def config_for(sim, models=(), **more):
    known = {f"{provider}/{name}": PRICES for provider in ("sim", "openai", "claude")
             for name in ("echo", "gpt", "claude", *models)}
    return dict({"providers": providers(sim), "models": known}, **more)

# More settings that tests ask for by name, so that the options' spelling stands here alone.
STALL = {"limits": {"write_stall": "1s"}}
KEEP_ALIVE = {"limits": {"keep_alive": "300ms"}}
SLOW_HEADS = {"limits": {"head": "1s"}}
SMALL_BODIES = {"limits": {"max_body": "1MiB"}}
SMALL_EVENTS = {"limits": {"max_event": "1MiB"}}
FEW_CONNECTIONS = {"limits": {"max_connections": 40}}
SHORT_DRAIN = {"limits": {"drain": "1s"}}
DEBUG = {"log": {"level": "debug"}}


def tls(certificate, key):
    return {"tls": {"cert": certificate, "key": key}}


# The request table's columns, in the words of the tests.
def usage_of(row):
    written = row["cache_write_5m"] + row["cache_write_1h"]
    return {"input": row["input_uncached"] + row["cache_read"] + written, "cached": row["cache_read"],
            "written": written, "output": row["output"], "reasoning": row["reasoning"]}


def basis(row):
    return row["basis"]


def outcome(row):
    return row["outcome"]


def is_final(row):
    return bool(row["final"])


def resident_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(n) for n in f.read().split()]


def is_alive(pid):
    """A zombie that nobody has waited for is not alive."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_sanitized(path):
    with open(path, "rb") as f:
        return b"__asan_init" in f.read()


SANITIZED = os.path.exists(BINARY) and is_sanitized(BINARY)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
