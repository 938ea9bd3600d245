# SPDX-License-Identifier: Apache-2.0
"""Pictures and sound: handed to providers that have them, with forms, limits and costs; and media by address."""
import base64
import json

import pytest

import kit
from upstream import Upstream

PICTURE = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
SOUND = bytes(range(256)) * 400
USAGE = {"input_tokens": 50, "output_tokens": 4000, "total_tokens": 4050, "input_tokens_details": {"text_tokens": 50, "image_tokens": 0}}


def answer(path, body, fields):
    if path == "/v1/images/generations":
        return 200, "application/json", json.dumps({"created": 1, "data": [{"b64_json": "AAAA"}], "usage": USAGE}).encode()
    if path == "/v1/images/edits":
        return 200, "application/json", json.dumps({"created": 1, "data": [{"url": "https://cdn.example/1.png"}]}).encode()
    if path == "/v1/audio/speech":
        if b'"sse"' in body:
            return 200, "text/event-stream", (
                b'data: {"type":"speech.audio.delta","audio":"AAAA"}\n\n'
                b'data: {"type":"speech.audio.done","usage":{"input_tokens":10,"output_tokens":20,"total_tokens":30}}\n\n')
        return 200, "audio/mpeg", SOUND
    if path == "/v1/audio/transcriptions" and b"srt" in body:
        return 200, "text/plain; charset=utf-8", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"
    if path.startswith("/v1/audio/") and b"whisper-1" in body:
        return 200, "application/json", json.dumps({"text": "hello", "usage": {"type": "duration", "seconds": 3}}).encode()
    if path.startswith("/v1/audio/") and b"whisper-large" in body:
        return 200, "application/json", json.dumps({"text": "hello", "duration": 36.5}).encode()
    if path.startswith("/v1/audio/"):
        usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17,
                 "input_token_details": {"text_tokens": 4, "audio_tokens": 10}}
        return 200, "application/json", json.dumps({"text": "hello", "usage": usage}).encode()
    if path == "/picture.png":
        return 200, "image/png", PICTURE
    if path == "/big.png":
        return 200, "image/png", PICTURE + bytes(3 << 20)
    if path == "/page.png":
        return 200, "text/html", b"<html></html>"
    return 404, "application/json", b'{"error":{"message":"not here","type":"invalid_request_error"}}'


@pytest.fixture
def upstream():
    made = Upstream(answer)
    yield made
    made.stop()


@pytest.fixture
def media(make_gateway, upstream):
    """A gateway in front of a provider of pictures and sound, all at one price."""
    names = ("gpt-image", "tts", "whisper", "chat")
    return make_gateway({"providers": {"oai": {"type": "openai", "base_url": upstream.url + "/v1", "api_key": kit.PROVIDER_KEY},
                                       "plain": {"type": "anthropic", "base_url": upstream.url, "api_key": kit.PROVIDER_KEY}},
                         "models": dict({f"oai/{n}": dict(kit.PRICES) for n in names}, **{
                             "oai/painter": {"picture_price": "0.04"}, "oai/whisper-large": {"sound_price": "0.111"}})})


def form(gateway, path, fields, files, **headers):
    import requests
    return requests.post(gateway.url + path, data=fields, files=files, headers=gateway.headers(**headers), timeout=30)


# ---- pictures ----

def test_a_picture_is_made_and_billed(media, upstream):
    """The body goes on with the provider's own name of the model, the answer comes back with its cost."""
    got = media.post("/v1/images/generations", {"model": "oai/gpt-image", "prompt": "a cat", "size": "1024x1024"})
    assert got.status_code == 200, got.text
    assert got.json()["data"] == [{"b64_json": "AAAA"}]
    assert got.json()["usage"]["cost"] == pytest.approx(50e-6 + 4000 * 2e-6)
    assert json.loads(upstream.asked[-1][1]) == {"model": "gpt-image", "prompt": "a cat", "size": "1024x1024"}
    row = media.rows()[0]
    assert row["op"] == "images" and row["output"] == 4000 and row["cost_nusd"] == 50 * 1000 + 4000 * 2000


def test_pictures_are_edited_from_a_form_and_from_json(media, upstream):
    """Several pictures and a mask in a form arrive byte for byte; so does a JSON body."""
    files = [("image[]", ("a.png", PICTURE, "image/png")), ("image[]", ("b.png", PICTURE + b"2", "image/png")), ("mask", ("m.png", PICTURE, "image/png"))]
    got = form(media, "/v1/images/edits", {"model": "oai/gpt-image", "prompt": "more"}, files)
    assert got.status_code == 200 and got.json()["data"][0]["url"].startswith("https://")
    _, body, fields = upstream.asked[-1]
    assert fields["content-type"].startswith("multipart/form-data; boundary=")
    assert body.count(PICTURE) == 3 and b"gpt-image" in body and b"oai/" not in body
    got = media.post("/v1/images/edits", {"model": "oai/gpt-image", "prompt": "more", "images": [{"image_url": "data:image/png;base64,AAAA"}]})
    assert got.status_code == 200
    assert json.loads(upstream.asked[-1][1])["model"] == "gpt-image"


@pytest.mark.parametrize("n", [0, 11, -1])
def test_the_number_of_pictures_has_limits(media, upstream, n):
    """n is checked before the provider is asked."""
    got = media.post("/v1/images/generations", {"model": "oai/gpt-image", "prompt": "x", "n": n})
    assert got.status_code == 400 and got.json()["error"]["param"] == "n" and not upstream.asked


def test_a_provider_without_pictures_says_so(media, upstream):
    """A model whose provider makes no pictures is refused with its name, without a call."""
    got = media.post("/v1/images/generations", {"model": "plain/claude", "prompt": "x"})
    assert got.status_code == 400 and got.json()["error"]["code"] == "operation_not_supported" and not upstream.asked


# ---- sound ----

def test_speech_arrives_as_the_bytes_it_is(media, upstream):
    """Sound passes byte for byte under its own type."""
    got = media.post("/v1/audio/speech", {"model": "oai/tts", "input": "hello", "voice": "alloy"})
    assert got.status_code == 200 and got.headers["content-type"] == "audio/mpeg" and got.content == SOUND
    assert json.loads(upstream.asked[-1][1]) == {"model": "tts", "input": "hello", "voice": "alloy"}


def test_speech_in_events_is_billed_by_their_usage(media):
    """stream_format sse: the events pass, the last one with its cost."""
    got = media.post("/v1/audio/speech", {"model": "oai/tts", "input": "hello", "voice": "alloy", "stream_format": "sse"})
    events = [json.loads(data) for _, data in kit.events(got.content)]
    assert [e["type"] for e in events] == ["speech.audio.delta", "speech.audio.done"]
    assert events[-1]["usage"]["cost"] == pytest.approx(10e-6 + 20 * 2e-6)
    assert media.rows()[0]["cost_nusd"] == 10 * 1000 + 20 * 2000


def test_a_text_to_speak_has_a_limit(media, upstream):
    """4096 characters, not bytes, can be spoken at once."""
    assert media.post("/v1/audio/speech", {"model": "oai/tts", "input": "é" * 4096, "voice": "alloy"}).status_code == 200
    got = media.post("/v1/audio/speech", {"model": "oai/tts", "input": "e" * 4097, "voice": "alloy"})
    assert got.status_code == 400 and got.json()["error"]["param"] == "input" and len(upstream.asked) == 1


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/audio/translations"])
def test_sound_becomes_text(media, upstream, path):
    """The file arrives whole, and what was heard is billed by its tokens, sound apart from text."""
    got = form(media, path, {"model": "oai/whisper", "language": "en"}, {"file": ("a.mp3", SOUND, "audio/mpeg")})
    assert got.status_code == 200 and got.json()["text"] == "hello", got.text
    _, body, _ = upstream.asked[-1]
    assert SOUND in body and b"oai/" not in body and b"whisper" in body
    row = media.rows()[0]
    assert row["input_audio"] == 10 and row["output"] == 3


def test_a_form_has_a_new_boundary_in_each_try(media, upstream):
    """With an Idempotency-Key the retry of a form is the same request, another file is not."""
    def send(sound):
        return form(media, "/v1/audio/transcriptions", {"model": "oai/whisper"}, {"file": ("a.mp3", sound, "audio/mpeg")}, **{"Idempotency-Key": "a"})
    first, again = send(SOUND), send(SOUND)
    assert first.status_code == again.status_code == 200 and again.content == first.content
    assert again.headers["idempotent-replayed"] == "true" and len(upstream.asked) == 1
    assert send(SOUND[1:]).status_code == 409
    speech = [media.post("/v1/audio/speech", {"model": "oai/tts-1", "input": "x", "voice": "alloy"}, headers=media.headers(**{"Idempotency-Key": "b"}))
              for _ in range(2)]
    assert speech[1].content == speech[0].content == SOUND and speech[1].headers["content-type"] == "audio/mpeg"
    assert len(upstream.asked) == 2


def test_what_is_no_token_is_priced_by_its_measure(media, upstream):
    """Speech by its characters, sound by its length, pictures each: as their makers charge them."""
    speech = {"model": "oai/tts-1", "input": "hé" * 50, "voice": "alloy"}
    assert media.post("/v1/audio/speech", speech).status_code == 200
    got = form(media, "/v1/audio/transcriptions", {"model": "oai/whisper-1"}, {"file": ("a.mp3", SOUND, "audio/mpeg")})
    assert got.json()["usage"] == {"type": "duration", "seconds": 3, "cost": 0.0003}
    form(media, "/v1/audio/transcriptions", {"model": "oai/whisper-large"}, {"file": ("a.mp3", SOUND, "audio/mpeg")})
    assert form(media, "/v1/images/edits", {"model": "oai/painter", "prompt": "x"}, {"image": ("a.png", PICTURE, "image/png")}).status_code == 200
    rows = media.rows()
    assert [r["cost_nusd"] for r in rows] == [1500000, 300000, 1125417, 40000000]
    assert [(r["characters"], r["sound_ms"], r["pictures"]) for r in rows] == [(100, 0, 0), (0, 3000, 0), (0, 36500, 0), (0, 0, 1)]
    assert [r["basis"] for r in rows] == ["gateway_count", "provider_final", "gateway_count", "gateway_count"]


def test_subtitles_are_no_json(media):
    """Other forms of the text pass as they are."""
    got = form(media, "/v1/audio/transcriptions", {"model": "oai/whisper", "response_format": "srt"}, {"file": ("a.mp3", SOUND, "audio/mpeg")})
    assert got.status_code == 200 and got.text.endswith("hello\n") and got.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("fields,files,param", [
    ({}, {"file": ("a.mp3", b"x", "audio/mpeg")}, "model"),
    ({"model": "oai/whisper"}, {"other": ("a.mp3", b"x", "audio/mpeg")}, "file"),
])
def test_a_form_that_lacks_something_is_refused_by_name(media, upstream, fields, files, param):
    """What is missing in a form is named."""
    got = form(media, "/v1/audio/transcriptions", fields, files)
    assert got.status_code == 400 and got.json()["error"]["param"] == param and not upstream.asked


@pytest.mark.parametrize("body,kind", [
    (b"--x\r\nno end", "multipart/form-data; boundary=x"), (b"", "multipart/form-data; boundary=x"),
    (b"--y--", "multipart/form-data; boundary=x"), (b"x", "multipart/form-data"), (b"{}", "application/json")])
def test_a_broken_form_is_refused(media, upstream, body, kind):
    """A body that is no form, or half of one, is a clear 400."""
    got = media.post("/v1/audio/transcriptions", body, headers=media.headers(**{"Content-Type": kind}))
    assert got.status_code in (400, 415) and got.json()["error"]["message"] and not upstream.asked


# ---- pictures by address ----

def picture_request(address):
    return {"model": "google/gemini-2.5-flash", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": address}}]}]}


@pytest.fixture
def fetching(sim, upstream, make_gateway):
    """A provider that takes no addresses; the server of the pictures is on the list of those that may be asked."""
    host = upstream.url.split("//")[1]
    return make_gateway({"media": {"allow_hosts": [host]}, "limits": {"max_media": "1MiB"},
                         "providers": {"google": {"type": "google", "base_url": sim.url + "/v1beta", "api_key": kit.PROVIDER_KEY}}})


def test_a_picture_by_address_is_fetched_for_who_takes_bytes(fetching, upstream, sim):
    """The gateway fetches the picture and hands its bytes on, with the type that the bytes say."""
    got = fetching.post("/v1/chat/completions", picture_request(upstream.url + "/picture.png"))
    assert got.status_code == 200, got.text
    sent = json.loads(sim.get("last?n=1")["requests"][-1]["body"])
    part = next(p["inlineData"] for p in sent["contents"][0]["parts"] if "inlineData" in p)
    assert part["mimeType"] == "image/png" and base64.b64decode(part["data"]) == PICTURE
    path, _, fields = upstream.asked[-1]
    assert path == "/picture.png" and "authorization" not in fields and kit.PROVIDER_KEY not in str(fields)


@pytest.mark.parametrize("path,word", [("/nothing.png", "404"), ("/big.png", "too large"), ("/page.png", "html")])
def test_what_cannot_be_fetched_is_the_clients_error(fetching, upstream, sim, path, word):
    """A missing, too large or wrong file is a 400 that says so; the provider is not asked."""
    got = fetching.post("/v1/chat/completions", picture_request(upstream.url + path))
    assert got.status_code == 400 and word in got.json()["error"]["message"].lower(), got.text
    assert sim.get("counts")["completed"] == 0


@pytest.mark.parametrize("address", [
    "http://127.0.0.1:{port}/picture.png", "http://localhost:{port}/picture.png", "http://[::1]:{port}/x.png", "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/x.png", "http://0.0.0.0:{port}/picture.png", "http://[::ffff:127.0.0.1]:{port}/x.png", "http://2130706433:{port}/x.png",
    "http://user:pass@10.1.2.3/x.png", "http://192.168.1.1/x.png", "file:///etc/passwd", "gopher://127.0.0.1/x"])
def test_addresses_of_the_inside_are_not_fetched(sim, upstream, make_gateway, address):
    """Private, local and metadata addresses are refused however they are written (server-side request forgery)."""
    gateway = make_gateway({"providers": {"google": {"type": "google", "base_url": sim.url + "/v1beta", "api_key": kit.PROVIDER_KEY}}})
    port = upstream.url.rsplit(":", 1)[1]
    got = gateway.post("/v1/chat/completions", picture_request(address.replace("{port}", port)))
    assert got.status_code == 400, got.text
    assert not upstream.asked and "pass@" not in got.text


def test_fetching_can_be_switched_off(sim, upstream, make_gateway):
    """With media.fetch off an address for such a provider is an error that says what to do."""
    gateway = make_gateway({"media": {"fetch": "off"},
                            "providers": {"google": {"type": "google", "base_url": sim.url + "/v1beta", "api_key": kit.PROVIDER_KEY}}})
    got = gateway.post("/v1/chat/completions", picture_request("https://example.com/x.png"))
    assert got.status_code == 400 and got.json()["error"]["message"]


# ---- three shapes, every family ----

SHAPES = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,{png}"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,{pdf}"}}, {"type": "text", "text": "what?"}]}]}),
    "requesty": ("/v1/chat/completions", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,{png}"}},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,{pdf}"}, {"type": "text", "text": "what?"}]}]}),
    "messages": ("/v1/messages", {"max_tokens": 50, "messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "{png}"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "{pdf}"}}, {"type": "text", "text": "what?"}]}]}),
    "responses": ("/v1/responses", {"input": [{"role": "user", "content": [
        {"type": "input_image", "image_url": "data:image/png;base64,{png}"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,{pdf}"}, {"type": "input_text", "text": "what?"}]}]}),
}
FAMILIES = {"anthropic": "", "openai-responses": "/v1", "google": "/v1beta", "bedrock": "", "openai": "/v1"}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_pictures_and_documents_reach_every_family(sim, make_gateway, shape):
    """A picture and a PDF in each client's shape arrive with their bytes and their true types."""
    png, pdf = base64.b64encode(PICTURE).decode(), base64.b64encode(b"%PDF-1.4 hello").decode()
    more = {"bedrock": {"region": "us-east-1"}}
    gateway = make_gateway({"providers": {name: dict({"type": name, "base_url": sim.url + path, "api_key": kit.PROVIDER_KEY}, **more.get(name, {}))
                                          for name, path in FAMILIES.items()}})
    path, body = SHAPES[shape]
    text = json.dumps(body).replace("{png}", png).replace("{pdf}", pdf)
    for family in FAMILIES:
        if (family, shape) in (("anthropic", "messages"), ("openai", "chat"), ("openai", "requesty"), ("openai", "responses"), ("openai-responses", "responses")):
            continue  # passed as it came
        got = gateway.post(path, dict(json.loads(text), model=f"{family}/m"))
        assert got.status_code == 200, f"{family}: {got.text}"
        sent = sim.get("last?n=1")["requests"][-1]["body"]
        assert png in sent and pdf in sent, family
        assert "image/jpeg" not in sent, "the bytes say png, whatever the client says"
        assert '"png"' in sent or "image/png" in sent, family
