# SPDX-License-Identifier: Apache-2.0
"""sluice migrate, backup, restore: what is answered for, elsewhere and later."""
import contextlib
import json
import os
import sqlite3
import threading

import kit
import postgres
import pytest

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.skipif(
    postgres.binaries() is None, reason="PostgreSQL is not installed (scripts/setup.sh test)"))]


@pytest.fixture(scope="module")
def server():
    if postgres.binaries() is None:
        yield None
        return
    made = postgres.Postgres()
    yield made
    made.remove()


@pytest.fixture
def start(sim, server, make_gateway, monkeypatch):
    """A gateway whose tables are in a database of that kind."""
    def run(kind):
        monkeypatch.setattr(kit.Gateway, "postgres", server if kind == "postgres" else None)
        return make_gateway(kit.config_for(sim))
    return run


def load(gateway, seconds_over):
    """Answered requests' number, asked without a pause until the event."""
    answered = [0]

    def run():
        while not seconds_over.is_set():
            assert gateway.post("/v1/chat/completions", kit.chat()).status_code == 200
            answered[0] += 1
    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    return answered, threads


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("into", KINDS)
def test_a_backup_under_load_is_whole_elsewhere(start, kind, into, tmp_path):
    """What was answered before the backup began is in it; keys work, the chain and the sums hold."""
    gateway, target = start(kind), start(into)
    over = threading.Event()
    answered, threads = load(gateway, over)
    try:
        kit.wait_until(lambda: answered[0] >= 40, "load")
        before = answered[0]
        gateway.command("backup", "--to", str(tmp_path / "b"))
        kit.wait_until(lambda: answered[0] >= before + 20, "load goes on")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert os.stat(tmp_path / "b").st_mode & 0o777 == 0o600
    assert "there already" in kit.command("backup", "--to", str(tmp_path / "b"), "-c", gateway.config_path, cwd=gateway.home).stderr
    refused = kit.command("restore", "--from", str(tmp_path / "b"), "-c", target.config_path, cwd=target.home)
    assert refused.returncode == 6 and "another sluice" in refused.stderr, refused.stderr
    target.stop()
    refused = kit.command("restore", "--from", str(tmp_path / "b"), "-c", target.config_path, cwd=target.home)
    assert refused.returncode == 6 and "--force" in refused.stderr, refused.stderr
    target.command("restore", "--from", str(tmp_path / "b"), "--force")
    target.command("audit", "ledger")
    target.command("audit", "verify")
    target.again()
    target.key = gateway.key
    there = json.loads(target.command("audit", "ledger", "-o", "json"))["requests"]
    assert before <= there <= answered[0]
    assert target.post("/v1/chat/completions", kit.chat()).status_code == 200
    assert len(target.rows(there + 1)) == there + 1
    assert not os.path.exists(os.path.join(target.data_dir, "sluice.db.restored"))


@pytest.mark.parametrize("kind", KINDS)
def test_records_that_wait_are_in_the_backup(start, server, kind, tmp_path):
    """A gateway that was killed left records in its journal: the backup has them."""
    gateway = start(kind)
    for _ in range(5):
        assert gateway.post("/v1/chat/completions", kit.chat()).status_code == 200
    gateway.kill9()
    gateway.command("backup", "--to", str(tmp_path / "b"))
    gateway.command("restore", "--from", str(tmp_path / "b"), "--force")
    gateway.again()
    assert len(gateway.rows(5)) == 5


@pytest.mark.parametrize("change,word", [
    ("UPDATE audit SET actor = 'x'", "audit log"), ("UPDATE usage_hour SET requests = 9", "sums"),
    ("DROP TABLE backup_journal", "no backup")])
def test_a_backup_that_was_altered_is_refused(gateway, tmp_path, change, word):
    """Its chain, its sums; and what is no backup at all. Nothing is replaced then, even by force."""
    assert gateway.post("/v1/chat/completions", kit.chat()).status_code == 200
    gateway.rows(1)
    gateway.command("backup", "--to", str(tmp_path / "b"))
    with contextlib.closing(sqlite3.connect(tmp_path / "b")) as db, db:
        db.execute(change)
    gateway.stop()
    done = kit.command("restore", "--from", str(tmp_path / "b"), "--force", "-c", gateway.config_path, cwd=gateway.home)
    assert done.returncode != 0 and word in done.stderr, done.stderr
    (tmp_path / "junk").write_bytes(b"x" * 9000)
    for name, word in (("junk", "not a database"), ("missing", "missing")):
        done = kit.command("restore", "--from", str(tmp_path / name), "--force", "-c", gateway.config_path, cwd=gateway.home)
        assert done.returncode != 0 and word in done.stderr, done.stderr
    assert not [name for name in os.listdir(gateway.data_dir) if "restor" in name]
    gateway.again()
    assert len(gateway.rows(1)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_migrate_says_the_versions(start, server, kind):
    """--check changes nothing; without it what is missing is done, and a newer schema is refused."""
    gateway = start(kind)
    versions = json.loads(gateway.command("migrate", "--check", "-o", "json"))
    assert versions["database"] == versions["program"] >= 5
    refused = kit.command("migrate", "-c", gateway.config_path, cwd=gateway.home)
    assert refused.returncode == 6
    gateway.stop()
    assert "nothing is to be done" in gateway.command("migrate")
    newer = versions["program"] + 1
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(gateway.database())) as db:
            db.execute(f"PRAGMA user_version={newer}")
    else:
        server.sql(f"UPDATE sluice_schema SET version = {newer}", gateway.db_name)
    assert "newer program" in gateway.command("migrate", "--check", expect=8)
    gateway.command("migrate", expect=3)
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(gateway.database())) as db:
            db.execute(f"PRAGMA user_version={newer - 1}")
    else:
        server.sql(f"UPDATE sluice_schema SET version = {newer - 1}", gateway.db_name)


def test_migrate_makes_what_is_missing(gateway, tmp_path):
    """In a new directory --check finds no schema and makes none."""
    new = str(tmp_path / "new")
    os.mkdir(new)
    arguments = ("--data-dir", new, "-c", gateway.config_path, "-o", "json")
    done = kit.command("migrate", "--check", *arguments, cwd=gateway.home)
    assert done.returncode == 8 and json.loads(done.stdout)["database"] == 0 and os.listdir(new) == []
    done = kit.command("migrate", *arguments, cwd=gateway.home)
    assert done.returncode == 0 and json.loads(done.stdout)["database"] >= 5
