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


@pytest.mark.skipif(kit.SANITIZED, reason="the driver runs under the sanitizers in the unit tests; these suites on PostgreSQL are run by the usual build")
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


def asks(gateway, n, **headers):
    """n answered requests; the slowest's seconds."""
    slowest = 0.0
    for _ in range(n):
        start = time.monotonic()
        answer = gateway.post("/v1/chat/completions", kit.chat(), headers=gateway.headers(**headers))
        assert answer.status_code == 200, answer.text
        slowest = max(slowest, time.monotonic() - start)
    return slowest


def is_refused(gateway, admin):
    """A change is 503 with a reason and when to come back, and never a refusal of the key."""
    start = time.monotonic()
    answer = gateway.post("/v1/manage/apikey", {"name": "x"}, headers={"Authorization": f"Bearer {admin}"})
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "database_unavailable" and answer.headers["Retry-After"]
    assert time.monotonic() - start < 10
    return True


def heals(gateway, admin, n):
    """All records arrive, once, and changes are made again, without a restart."""
    assert len(gateway.rows(n)) == n
    kit.wait_until(lambda: "\"database\":\"ok\"" in gateway.get("/readyz").text, "the database is back")
    made = gateway.post("/v1/manage/apikey", {"name": f"after-{n}"}, headers={"Authorization": f"Bearer {admin}"})
    assert made.status_code == 201, made.text
    assert f"{n} requests" in gateway.command("audit", "ledger")


def test_a_database_that_is_killed_is_missed_by_changes_alone(on_postgres, server):
    """D-01: keys work from memory, records wait in the journal, and land once when it is back."""
    gateway, admin = on_postgres, on_postgres.make_key("admin", "--manage", "write")
    asks(gateway, 3)
    server.stop(signal.SIGQUIT)
    asks(gateway, 20)
    is_refused(gateway, admin)
    ready = gateway.get("/readyz")
    assert ready.status_code == 200 and "away" in ready.text
    assert gateway.get("/livez").status_code == 200
    assert kit.wait_until(lambda: gateway.metric("sluice_journal_backlog_bytes"), "the backlog is measured") > 0
    server.start()
    heals(gateway, admin, 23)
    assert len([line for line in gateway.lines() if line["event"] == "store_down"]) == 1


def test_a_restart_between_two_changes_is_not_noticed(on_postgres, server):
    """The connection of before is dead: a new one is made, and nobody is told to come again."""
    admin = {"Authorization": f"Bearer {on_postgres.make_key('admin', '--manage', 'write')}"}
    server.stop()
    server.start()
    made = on_postgres.post("/v1/manage/apikey", {"name": "after"}, headers=admin)
    assert made.status_code == 201, made.text
    server.stop()
    server.start()
    assert on_postgres.get("/v1/manage/apikey", headers=admin).status_code == 200


def test_the_gateway_is_killed_while_the_database_is_away(on_postgres, server):
    """What waited in the journal is taken at the next start: nothing is lost, nothing doubled."""
    asks(on_postgres, 3)
    on_postgres.rows(3)
    server.stop(signal.SIGQUIT)
    asks(on_postgres, 5)
    on_postgres.kill9()
    server.start()
    on_postgres.again()
    assert len(on_postgres.rows(8)) == 8
    assert "8 requests" in on_postgres.command("audit", "ledger")


def test_a_database_that_stands_still_holds_nobody_up(on_postgres, server):
    """D-02: SIGSTOP. Each call to it ends after 2 s; requests do not wait for it at all."""
    gateway, admin = on_postgres, on_postgres.make_key("admin", "--manage", "write")
    asks(gateway, 1)
    gateway.rows(1)
    server.freeze()
    assert asks(gateway, 20) < 2
    is_refused(gateway, admin)
    assert asks(gateway, 1) < 2
    server.thaw()
    heals(gateway, admin, 22)


@pytest.mark.parametrize("harm,repair", [
    ("ALTER DATABASE {db} ALLOW_CONNECTIONS false", "ALTER DATABASE {db} ALLOW_CONNECTIONS true"),
    ("ALTER USER sluice PASSWORD 'another'", f"ALTER USER sluice PASSWORD '{postgres.PASSWORD}'"),
    ("ALTER DATABASE {db} SET default_transaction_read_only = on", "ALTER DATABASE {db} RESET default_transaction_read_only"),
], ids=["no connections", "password", "read only"])
def test_a_database_that_refuses_is_no_reason_to_refuse_a_key(on_postgres, server, harm, repair):
    """D-03: no connection left, authentication changed, a standby that only reads."""
    gateway, admin = on_postgres, on_postgres.make_key("admin", "--manage", "write")
    db = gateway.db_name
    server.sql(harm.format(db=db), "postgres")
    server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{db}'", "postgres")
    asks(gateway, 5)
    is_refused(gateway, admin)
    assert gateway.post("/v1/chat/completions", kit.chat(), headers={"Authorization": "Bearer sk-sluice-wrong"}).status_code == 401
    server.sql(repair.format(db=db), "postgres")
    heals(gateway, admin, 5)


def test_a_table_of_another_version_heals_too(on_postgres, server):
    """D-03: a table that is not as this program knows it."""
    gateway = on_postgres
    server.sql("ALTER TABLE request RENAME TO elsewhere", gateway.db_name)
    asks(gateway, 5)
    kit.wait_until(lambda: "away" in gateway.get("/readyz").text, "it is seen")
    server.sql("ALTER TABLE elsewhere RENAME TO request", gateway.db_name)
    assert len(gateway.rows(5)) == 5
    assert "5 requests" in gateway.command("audit", "ledger")


def test_what_waits_is_bounded(sim, server, make_gateway, monkeypatch):
    """At limits.max_journal new requests get 503; nothing that waits is dropped."""
    monkeypatch.setattr(kit.Gateway, "postgres", server)
    gateway = make_gateway(kit.config_for(sim, limits={"max_journal": "1MiB"}))
    server.stop(signal.SIGQUIT)
    answered = 0
    for _ in range(2000):
        answer = gateway.post("/v1/chat/completions", kit.chat(), headers=gateway.headers(**{"X-Title": "t" * 6000}))
        if answer.status_code != 200:
            break
        answered += 1
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "database_unavailable", answer.text
    assert gateway.get("/readyz").status_code == 503
    assert 50 < answered < 1000
    server.start()
    assert len(gateway.rows(answered)) == answered
    kit.wait_until(lambda: gateway.get("/readyz").status_code == 200, "it is ready again")
    asks(gateway, 1)
    gateway.rows(answered + 1)
