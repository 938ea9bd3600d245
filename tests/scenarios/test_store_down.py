# SPDX-License-Identifier: Apache-2.0
"""A SQLite file that cannot be written: requests go on, changes are 503, and all is there afterwards."""
import contextlib
import sqlite3

import kit
from test_postgres import asks, heals, is_refused


def test_a_file_that_cannot_be_written_is_missed_by_changes_alone(gateway):
    """Another program holds the file's write lock."""
    admin = gateway.make_key("admin", "--manage", "write")
    asks(gateway, 2)
    gateway.rows(2)
    with contextlib.closing(sqlite3.connect(gateway.database(), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert asks(gateway, 10) < 2
        kit.wait_until(lambda: "away" in gateway.get("/readyz").text, "it is seen", seconds=20)
        is_refused(gateway, admin)
        other.execute("ROLLBACK")
    heals(gateway, admin, 12)
