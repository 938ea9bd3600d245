# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL as the database: the same scenarios hold, it may go and come, and its password is nowhere."""
import json
import os
import signal
import subprocess
import sys
import time

import kit
import postgres
import pytest

pytestmark = pytest.mark.skipif(postgres.binaries() is None, reason="PostgreSQL is not installed (scripts/setup.sh test)")
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def server():
    made = postgres.Postgres()
    yield made
    made.remove()


@pytest.fixture
def on_postgres(sim, server, make_gateway, monkeypatch):
    """A gateway on a server of its own, which may be hurt."""
    monkeypatch.setattr(kit.Gateway, "postgres", server)
    gateway = make_gateway(kit.config_for(sim))
    yield gateway
    server.thaw() if server.process.poll() is None else server.start()
    gateway.leaves_no(postgres.PASSWORD)


@pytest.mark.parametrize("files,which", [(["usage", "budget"], ""), (["manage", "govern"], "not every_route and not wrong_members")])
def test_what_holds_on_sqlite_holds_there(files, which):
    """The scenarios of usage, limits, management and audit, on PostgreSQL."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", which,
         *[os.path.join(HERE, f"test_{name}.py") for name in files]],
        env={**os.environ, "SCENARIOS_ON_POSTGRES": "1"}, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_the_password_is_shown_nowhere(on_postgres, server):
    """Not by `config show`, not where it is wrong, not where the address is no address."""
    shown = on_postgres.command("config", "show")
    assert "postgres://***" in shown and postgres.PASSWORD not in shown
    on_postgres.stop()
    for database in (server.url("nowhere"), server.url("test1").replace(postgres.PASSWORD, "wrong-" + postgres.PASSWORD),
                     server.url("test1").replace(postgres.PASSWORD, postgres.PASSWORD + "@host:x/"),
                     server.url("test1").replace(postgres.PASSWORD, postgres.PASSWORD + "/x"),
                     server.url("test1") + "?" + postgres.PASSWORD, server.url("test1").replace(f":{server.port}", f":{postgres.PASSWORD}")):
        done = kit.command("audit", "verify", "-c", on_postgres.config_path, cwd=on_postgres.home, env={"SLUICE_DATABASE": database})
        assert done.returncode != 0 and "sluice:" in done.stderr, (database, done.stderr)
        assert postgres.PASSWORD not in done.stderr + done.stdout, done.stderr
    on_postgres.again()
