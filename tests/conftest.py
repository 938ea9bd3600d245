# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the whole-program tests; what they are made of is in kit.py."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kit  # noqa: E402
import postgres  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def all_on_postgres():
    """With SCENARIOS_ON_POSTGRES=1 every gateway keeps its tables there."""
    if not os.environ.get("SCENARIOS_ON_POSTGRES"):
        yield
        return
    kit.Gateway.postgres = postgres.Postgres()
    yield
    kit.Gateway.postgres.remove()


@pytest.fixture
def sim(tmp_path):
    """A simulated provider."""
    made = kit.Sim(tmp_path)
    yield made
    made.stop()
    made.check()


@pytest.fixture
def make_gateway(tmp_path):
    """Starts gateways with a given configuration; at the end each has to stop well."""
    made = []

    def make(config, env=None):
        home = tmp_path / f"gateway{len(made)}"
        home.mkdir()
        gateway = kit.Gateway(home, config, env, name=f"gateway{len(made)}")
        made.append(gateway)
        return gateway
    yield make
    for gateway in made:
        gateway.finish()


@pytest.fixture
def gateway(sim, make_gateway):
    """A gateway in front of the simulator: providers sim (compatible), openai and claude."""
    return make_gateway(kit.config_for(sim))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A certificate authority and what it signed: paths by name."""
    why = os.environ.get("SLUICE_NO_OPENSSL")
    if why:
        pytest.skip(why)
    home = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True)

    def authority(name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN=Test {name}")

    def sign(name, subject, ca="ca", days="2"):
        (home / f"{name}.ext").write_text(f"subjectAltName={subject}\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                "-CAcreateserial", "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    authority("ca")
    authority("stranger")
    sign("good", "IP:127.0.0.1,DNS:localhost")
    sign("second", "IP:127.0.0.1,DNS:localhost")
    sign("wronghost", "DNS:elsewhere.example")
    sign("unknown", "IP:127.0.0.1", ca="stranger")
    sign("expired", "IP:127.0.0.1", days="-1")
    return {path.name: str(path) for path in home.iterdir()}
