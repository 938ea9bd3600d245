# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of the tests' own: a cluster in a temporary directory, never root's, on loopback.

As a program it runs another one beside such a server, whose address is then in SLUICE_TEST_DATABASE:
    python3 tests/postgres.py build-dev/src/state/store/store_store_test
Exit 77 (Meson: skipped) where PostgreSQL is not installed.
"""

import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PASSWORD = "pg-secret-canary-4711"
NOBODY = 65534
START_S = 60


def binaries():
    """The newest installed version's folder, or None."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
    return os.path.dirname(found[-1]) if found else None


def who():
    """PostgreSQL refuses to run as root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Postgres:
    def __init__(self, settings=()):
        self.bin = binaries()
        self.home = tempfile.mkdtemp(prefix="sluice-pg-")
        self.port = free_port()
        self.settings = settings
        self.process = None
        self.n = 0
        password = os.path.join(self.home, "password")
        with open(password, "w", encoding="ascii") as file:
            file.write(PASSWORD)
        if os.geteuid() == 0:
            os.chown(self.home, NOBODY, NOBODY)
            os.chown(password, NOBODY, NOBODY)
        self._run(
            "initdb", "-D", self.data, "-U", "sluice", "--no-sync", "-E", "UTF8", "--no-locale",
            "--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile", password,
        )
        self.start()

    @property
    def data(self):
        return os.path.join(self.home, "data")

    def _run(self, program, *arguments):
        done = subprocess.run(
            [os.path.join(self.bin, program), *arguments],
            capture_output=True, text=True, cwd=self.home, timeout=120, check=False, **who(),
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def start(self):
        options = ["fsync=off", f"port={self.port}", "listen_addresses=127.0.0.1",
                   f"unix_socket_directories={self.home}", "max_connections=50", *self.settings]
        with open(os.path.join(self.home, "log"), "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.bin, "postgres"), "-D", self.data, *[x for o in options for x in ("-c", o)]],
                stdout=log, stderr=log, cwd=self.home, **who(),
            )
        until = time.monotonic() + START_S
        while True:
            done = subprocess.run(
                [os.path.join(self.bin, "pg_isready"), "-h", self.home, "-p", str(self.port)],
                capture_output=True, check=False,
            )
            if done.returncode == 0:
                return
            assert self.process.poll() is None and time.monotonic() < until, self.log()
            time.sleep(0.05)

    def log(self):
        with open(os.path.join(self.home, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def url(self, name, options=""):
        return f"postgres://sluice:{PASSWORD}@127.0.0.1:{self.port}/{name}{options}"

    def new_database(self, options=""):
        self.n += 1
        name = f"test{self.n}"
        self.sql(f"CREATE DATABASE {name}", "postgres")
        return self.url(name, options)

    def sql(self, text, name=None):
        """Rows of texts."""
        name = name or f"test{self.n}"
        out = self._run("psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                        "-h", self.home, "-p", str(self.port), "-U", "sluice", "-d", name, "-c", text)
        return [line.split("\t") for line in out.splitlines()]

    def _all(self):
        """The server's processes: it has a session, and each of its children one of their own."""
        own = self.process.pid
        return [own] + [int(p) for p in self._children(own)]

    @staticmethod
    def _children(pid):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return file.read().split()

    def _signal_all(self, number):
        for pid in self._all():
            try:
                os.kill(pid, number)
            except ProcessLookupError:  # a session that has just ended
                pass

    def freeze(self):
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def stop(self, number=signal.SIGQUIT):
        """At once, as a crash does."""
        if self.process is not None and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(number)
            self.process.wait(START_S)

    def remove(self):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def main():
    if binaries() is None:
        print("PostgreSQL is not installed (scripts/setup.sh test)")
        return 77
    server = Postgres()
    try:
        env = {**os.environ, "SLUICE_TEST_DATABASE": server.new_database()}
        return subprocess.run(sys.argv[1:], env=env, check=False).returncode
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main())
