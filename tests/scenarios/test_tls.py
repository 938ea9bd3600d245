# SPDX-License-Identifier: Apache-2.0
"""TLS on both sides: to clients, to providers, and new certificates without a restart."""
import hashlib
import signal
import socket
import ssl

import pytest
import requests

import kit


@pytest.fixture
def secure(sim, certificates, make_gateway):
    config = kit.config_for(sim, **kit.tls(certificates["good.pem"], certificates["good.key"]))
    return make_gateway(config)


def fingerprint(gateway, certificates):
    context = ssl.create_default_context(cafile=certificates["ca.pem"])
    with socket.create_connection((gateway.host, gateway.port), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            assert tls.version() in ("TLSv1.2", "TLSv1.3")
            return hashlib.sha256(tls.getpeercert(True)).hexdigest()


def test_clients_are_served_over_tls(secure, certificates):
    """Chat, streams and kept connections work over TLS, verified."""
    session = requests.Session()
    session.verify = certificates["ca.pem"]
    for turn in range(4):
        got = session.post(secure.url + "/v1/chat/completions", timeout=20, headers=secure.headers(),
                           json=kit.chat("openai/gpt+words=200", stream=turn % 2 == 0))
        assert got.status_code == 200
        assert turn % 2 or kit.is_done(got.content)
    got = session.post(secure.url + "/v1/chat/completions", timeout=30, headers=secure.headers(),
                       json=kit.chat("sim/echo", content="x" * 2000000))
    assert got.status_code == 200 and len(got.content) > 2000000


def test_plain_http_on_the_tls_port_is_no_http(secure):
    """A client that forgets TLS does not get an answer from the data path."""
    with kit.Raw(secure.host, secure.port) as raw:
        raw.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b" 200 " not in raw.read_to_end()


def test_old_protocols_are_refused(secure):
    """TLS 1.1 and older are not spoken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    except (ValueError, ssl.SSLError) as e:
        pytest.skip(f"this Python cannot speak TLS 1.1: {e}")
    with socket.create_connection((secure.host, secure.port), 10) as plain:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(plain)


def test_a_new_certificate_is_taken_on_hangup(secure, certificates):
    """SIGHUP reads the certificate files again; open connections stay, new ones get the new certificate."""
    session = requests.Session()
    session.verify = certificates["ca.pem"]
    assert session.get(secure.url + "/livez", timeout=10).status_code == 200
    old = fingerprint(secure, certificates)
    secure.config.update(kit.tls(certificates["second.pem"], certificates["second.key"]))
    secure.write_config()
    secure.signal(signal.SIGHUP)
    kit.wait_until(lambda: fingerprint(secure, certificates) != old, "the new certificate")
    assert session.get(secure.url + "/livez", timeout=10).status_code == 200


def test_providers_over_tls(tmp_path, certificates, make_gateway):
    """A provider behind TLS with a private authority is verified and used, with kept connections."""
    sim = kit.Sim(tmp_path, arguments=("--tls-cert", certificates["good.pem"], "--tls-key", certificates["good.key"]))
    gateway = make_gateway(dict(kit.config_for(sim), providers=kit.providers(sim, certificates["ca.pem"])))
    for turn in range(6):
        got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt+words=50", stream=turn % 2 == 0))
        assert got.status_code == 200, got.text
    gateway.post("/v1/messages", kit.messages("claude/claude+words=500", stream=True))
    assert len(gateway.rows(7)) == 7
    sim.stop()
    sim.check()
