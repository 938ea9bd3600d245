# SPDX-License-Identifier: Apache-2.0
"""Malformed HTTP/1.1 against the live listener: refused, then closed, the tail never interpreted.

The parser's own tests go through every class and every split; these show that the same holds on a
socket, with the answer a client sees.
"""
import json
import time

import pytest

import kit

GOOD = b'{"model":"sim/echo","messages":[{"role":"user","content":"hi"}]}'
PATH = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"Host: gateway\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(GOOD)

REFUSED = {
    "bare LF line ends": b"POST /v1/chat/completions HTTP/1.1\nHost: a\n\n",
    "bare CR in a value": PATH + HOST + b"X: a\rb\r\n\r\n",
    "obs-fold": PATH + HOST + b"X: a\r\n b\r\n" + LENGTH + b"\r\n",
    "space before the colon": PATH + HOST + b"Content-Length : 5\r\n\r\n",
    "space before the first field": PATH + b" Host: a\r\n\r\n",
    "an empty name": PATH + HOST + b": x\r\n\r\n",
    "a name that is no token": PATH + HOST + b"X(y): z\r\n\r\n",
    "NUL in a value": PATH + HOST + b"X: a\0b\r\n\r\n",
    "a control in a value": PATH + HOST + b"X: a\x01b\r\n\r\n",
    "length and chunked": PATH + HOST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": PATH + HOST + LENGTH + LENGTH + b"\r\n",
    "a list of lengths": PATH + HOST + b"Content-Length: 5, 5\r\n\r\n",
    "a signed length": PATH + HOST + b"Content-Length: +5\r\n\r\n",
    "a hex length": PATH + HOST + b"Content-Length: 0x5\r\n\r\n",
    "an empty length": PATH + HOST + b"Content-Length: \r\n\r\n",
    "a negative length": PATH + HOST + b"Content-Length: -1\r\n\r\n",
    "an enormous length": PATH + HOST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "two codings": PATH + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": PATH + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked with a comma": PATH + HOST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    "chunked quoted": PATH + HOST + b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    "chunked with a vertical tab": PATH + HOST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "identity": PATH + HOST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked in 1.0": b"POST /v1/chat/completions HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two spaces": b"POST  /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab": b"GET\t/v1/models\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET /v1/models HTTP/1.2\r\n" + HOST + b"\r\n",
    "HTTP/2.0": b"GET /v1/models HTTP/2.0\r\n" + HOST + b"\r\n",
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/1.10": b"GET /v1/models HTTP/1.10\r\n" + HOST + b"\r\n",
    "lower-case method": b"get /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n",
    "an unknown method": b"BREW /v1/models HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host with a path": b"GET /v1/models HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "another host in the target": b"GET http://elsewhere/v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "userinfo in the target": b"GET http://u@gateway/v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "a fragment": b"GET /v1/models#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "8-bit path": b"GET /v1/mod\xe9ls HTTP/1.1\r\n" + HOST + b"\r\n",
    "Expect something": PATH + HOST + LENGTH + b"Expect: 200-ok\r\n\r\n",
    "a body on GET": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello",
    "noise": bytes(range(128, 256)) * 4,
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "too many fields": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
    "a head that is too large": b"GET /v1/models HTTP/1.1\r\n" + HOST + (b"X: " + b"y" * 9000 + b"\r\n") * 5 + b"\r\n",
    "a target that is too long": b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
}
BAD_CHUNKS = {
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n", "0x": b"0x5\r\nhello\r\n0\r\n\r\n", "underscore": b"1_0\r\n",
    "17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n", "overflow": b"fffffffffffffffff\r\n", "space": b" 5\r\nhello\r\n",
    "no CRLF behind data": b"5\r\nhelloXX0\r\n\r\n", "bare LF": b"5\nhello\n0\n\n", "a long extension": b"5;" + b"x" * 400 + b"\r\nhello\r\n",
}
TAIL = b"GET /livez HTTP/1.1\r\nHost: smuggled\r\n\r\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    home = tmp_path_factory.mktemp("http1")
    sim = kit.Sim(home)
    (home / "gateway").mkdir()
    gateway = kit.Gateway(home / "gateway", kit.config_for(sim))
    yield gateway
    gateway.finish()
    sim.stop()


def answers(data):
    """The statuses of all answers in what came back."""
    import re
    return [int(s) for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize("name", REFUSED)
def test_malformed_requests_are_refused_and_closed(world, name, piece):
    """One answer of the 400 family or 501, a JSON body, then the end; what stands behind is not read."""
    data = REFUSED[name]
    if piece and len(data) > 2000:
        piece = 97
    with world.raw(deadline=8) as raw:
        try:
            raw.send(data + TAIL, piece)
        except (ConnectionResetError, BrokenPipeError):
            pass
        got = raw.read_to_end()
    found = answers(got)
    assert len(found) <= 1, got[:500]
    if found:
        assert found[0] in (400, 405, 408, 411, 413, 414, 417, 431, 501, 505), got[:300]
        body = got.split(b"\r\n\r\n", 1)[1]
        assert {"message", "type", "param", "code"} <= set(json.loads(body)["error"])


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_malformed_chunks_are_refused_and_closed(world, name):
    """A body in broken chunks is refused once and the connection closed."""
    head = PATH + HOST + b"Authorization: Bearer " + world.key.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    with world.raw(deadline=8) as raw:
        raw.send(head + BAD_CHUNKS[name] + TAIL)
        raw.end()
        got = raw.read_to_end()
    found = answers(got)
    assert len(found) <= 1 and all(s in (400, 413) for s in found), got[:300]


def test_a_chunked_body_is_taken(world):
    """A request body in chunks of every size is the same request."""
    for size in (1, 7, 64, len(GOOD)):
        body = b"".join(b"%x\r\n%s\r\n" % (len(GOOD[i:i + size]), GOOD[i:i + size]) for i in range(0, len(GOOD), size))
        with world.raw() as raw:
            raw.send(PATH + HOST + b"Authorization: Bearer " + world.key.encode() +
                     b"\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")
            assert raw.read_answer()[0] == 200


def test_a_request_split_at_every_byte(world):
    """The same request in two packets, cut at each byte of its head, is always served."""
    request = world.raw_request("/v1/models", b"", method="GET")
    with world.raw() as raw:
        for cut in range(1, len(request)):
            raw.send(request[:cut])
            raw.send(request[cut:])
            assert raw.read_answer()[0] == 200, cut


def test_pipelined_requests_are_served_in_turn(world):
    """Requests sent at once are answered one after the other, on one connection."""
    with world.raw() as raw:
        raw.send(b"".join(world.raw_request("/v1/chat/completions", kit.chat(content=f"number {n}")) for n in range(6)))
        for n in range(6):
            status, _, body = raw.read_answer()
            assert status == 200 and f"number {n}" in json.loads(body)["choices"][0]["message"]["content"]


def test_a_poisoned_request_closes_all_behind_it(world):
    """In a pipeline the requests before the malformed one are served, those behind it are not."""
    good = world.raw_request("/v1/models", b"", method="GET")
    with world.raw() as raw:
        raw.send(good + good + b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + good)
        assert answers(raw.read_to_end()) == [200, 200, 400]


def test_expect_100_continue(world):
    """A client that waits gets 100 Continue, one that does not wait is served all the same."""
    head = PATH + HOST + LENGTH + b"Authorization: Bearer " + world.key.encode() + b"\r\nExpect: 100-continue\r\n\r\n"
    with world.raw() as raw:
        raw.send(head)
        assert raw.read_head()[0] == 100
        raw.send(GOOD)
        assert raw.read_answer()[0] == 200
    with world.raw() as raw:
        raw.send(head + GOOD)
        assert raw.read_answer()[0] == 200


def test_expect_with_a_bad_key_is_refused_without_continue(world):
    """A request that will be refused is never asked for its body."""
    with world.raw() as raw:
        raw.send(PATH + HOST + LENGTH + b"Authorization: Bearer nope\r\nExpect: 100-continue\r\n\r\n")
        assert raw.read_head()[0] == 401


def test_http_1_0_gets_its_answer_and_an_end(world):
    """An HTTP/1.0 client is answered without chunks and the connection closed."""
    with world.raw() as raw:
        raw.send(b"GET /livez HTTP/1.0\r\n\r\n")
        got = raw.read_to_end()
    assert answers(got) == [200] and b"chunked" not in got


def test_connection_close_is_obeyed(world):
    """Connection: close ends the connection behind the answer."""
    with world.raw() as raw:
        raw.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert answers(raw.read_to_end()) == [200]


def test_connection_naming_authorization_does_not_delete_it(world):
    """Connection: authorization, content-length takes nothing away from the request."""
    with world.raw() as raw:
        raw.send(world.raw_request("/v1/chat/completions", GOOD, ["Connection: authorization, content-length"]))
        assert raw.read_answer()[0] == 200


def test_a_head_that_never_ends_times_out(sim, make_gateway):
    """A head sent a byte at a time is cut by an absolute timer."""
    gateway = make_gateway(kit.config_for(sim, **kit.SLOW_HEADS))
    with gateway.raw(deadline=10) as raw:
        started = time.monotonic()
        try:
            for byte in b"GET /livez HTTP/1.1\r\nHost: " + b"a" * 100:
                raw.send(bytes([byte]))
                time.sleep(0.05)
        except (ConnectionResetError, BrokenPipeError):
            pass
        got = raw.read_to_end()
        assert time.monotonic() - started < 6
    assert answers(got) in ([], [408])
