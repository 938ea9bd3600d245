# SPDX-License-Identifier: Apache-2.0
"""What a request costs and on what ground, against the simulator's own bill; by which price; corrections."""
import datetime
import json
import sqlite3

import pytest
import requests

import kit

REQUESTS = "/v1/manage/request"
MODEL = {"context_window": 4096, "max_output": 1000, "input_price": "1", "output_price": "2"}
INPUT, OUTPUT = 1000, 2000  # nano-dollars a token
NANO = 10**9


class Desk:
    def __init__(self, gateway):
        self.gateway = gateway
        self.manager = gateway.make_key("manager", "--manage", "write", "--completions", "none")

    def __call__(self, method, path, body=None, expect=200, key=None):
        got = requests.request(method, self.gateway.url + path, json=body, timeout=30, headers={"Authorization": f"Bearer {key or self.manager}"})
        assert got.status_code == expect, f"{method} {path}: {got.status_code} {got.text}"
        return got.json() if got.content else None

    def leave(self, model, script, after=800, **more):
        """A client that asks for a stream and leaves: before the first event, or behind some bytes."""
        self.sim.order(script)
        raw = self.gateway.raw()
        raw.send(self.gateway.raw_request("/v1/chat/completions", kit.chat(model, stream=True, **more)))
        if after:
            assert raw.read_head()[0] == 200
            raw.read(after)
        else:
            kit.wait_until(lambda: self.sim.counts()["open"] >= 1, "the request is at the simulator")
        raw.close()

    def last(self):
        """The newest request that has ended, as the management API shows it."""
        def look():
            found = self("GET", REQUESTS)["requests"]
            return found and found[0]["ended"] and found[0]
        return kit.wait_until(look, "the request has ended")

    def usage(self):
        today = datetime.datetime.now(datetime.timezone.utc)
        start, end = ((today + datetime.timedelta(days=d)).strftime("%Y-%m-%dT00:00:00Z") for d in (-1, 1))
        days = self("GET", f"/v1/manage/org/usage?start={start}&end={end}")["usage"].values()
        return sum(nano(d["spend"]) for d in days), sum(d["unpriced_requests"] for d in days)


def nano(text):
    return round(float(text) * NANO)


def bill_nusd(entry):
    return entry["input_tokens"] * INPUT + entry["output_tokens"] * OUTPUT


@pytest.fixture
def desk(sim, make_gateway):
    def open_desk(provider=None, models=("gpt", "echo"), **more):
        providers = kit.providers(sim)
        for name in providers:
            providers[name].update(provider or {})
        found = Desk(make_gateway(dict({"providers": providers, "models": {f"{p}/{m}": MODEL for p in providers for m in models}}, **more)))
        found.sim = sim
        return found
    return open_desk


# ---- on what ground ----

def test_the_final_count_is_the_bill(sim, desk):
    """Whole answers are settled by the provider's own count, to the nano-dollar."""
    d = desk()
    for stream in (False, True):
        assert d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt", stream=stream)).status_code == 200
        d.gateway.rows(1 + stream)
        row = d.last()
        assert (row["basis"], row["overrun"]) == ("provider_final", False)
        assert nano(row["cost"]) == bill_nusd(sim.bill()[-1])


@pytest.mark.parametrize("after", [0, 800], ids=["before the first token", "in the middle"])
def test_a_provider_that_bills_on_is_read_to_its_end(sim, desk, after):
    """The client leaves; the provider goes on and bills: the gateway reads on, and books exactly the bill."""
    d = desk({"bills_on_abort": "true"})
    d.leave("openai/gpt", "events=60+gap=10" + ("" if after else "+delay=300"), after)
    row = d.last()
    entry = sim.bill()[-1]
    assert entry["outcome"] == "completed"
    assert (row["outcome"], row["basis"]) == ("cancelled", "provider_final")
    assert nano(row["cost"]) == bill_nusd(entry)


@pytest.mark.parametrize("after", [0, 800], ids=["before the first token", "in the middle"])
def test_a_provider_that_stops_is_stopped(sim, desk, after):
    """Compatible servers bill on unless the configuration says otherwise: then the connection is closed, and counted what came."""
    d = desk({"bills_on_abort": "false"})
    d.leave("sim/gpt", "events=600+gap=10" + ("" if after else "+delay=3000"), after)
    sim.idle()
    row, entry = d.last(), sim.bill()[-1]
    assert entry["outcome"] == "cancelled" and (row["outcome"], row["basis"]) == ("cancelled", "gateway_count")
    assert (row["output_tokens"] > 0) == bool(after) and row["output_tokens"] < 600
    assert nano(row["cost"]) == row["input_tokens"] * INPUT + row["output_tokens"] * OUTPUT >= entry["input_tokens"] * INPUT


def test_who_bills_on_too_long_gets_all_that_it_could_cost(sim, desk):
    """Reading on has an end: then the most that the answer can cost is booked, never less than the bill."""
    d = desk({"bills_on_abort": "true"}, timeouts={"abandoned": "200ms"})
    d.leave("openai/gpt", "events=900+gap=20", max_tokens=1000)
    row = d.last()
    sim.idle()
    assert (row["outcome"], row["basis"], row["price"]) == ("cancelled", "hold", None)
    assert nano(row["cost"]) >= 1000 * OUTPUT and nano(row["cost"]) >= bill_nusd(sim.bill()[-1])


@pytest.mark.parametrize("policy,basis", [("input", "gateway_count"), ("none", "none"), ("hold", "hold")])
@pytest.mark.parametrize("script", ["rst", "hang"])
def test_what_was_sent_and_never_answered(sim, desk, policy, basis, script):
    """The provider resets, or the gateway times out, before anything came: the provider's policy decides."""
    d = desk({"unknown_outcome": policy}, **kit.IMPATIENT)
    sim.order(script)
    assert d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt", max_tokens=100)).status_code in (502, 504)
    row = d.last()
    assert (row["basis"], row["output_tokens"]) == (basis, 0)
    cost = nano(row["cost"])
    assert cost == {"input": row["input_tokens"] * INPUT, "none": 0}.get(policy, cost)
    if policy == "hold":
        assert cost >= 100 * OUTPUT + sim.bill()[-1]["input_tokens"] * INPUT


def test_a_provider_that_resets_in_the_middle(sim, desk):
    """No usage came, and the provider stops when it is cut: what was received is counted."""
    d = desk()
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt+events=20+rst_events=5", stream=True))
    row = d.last()
    assert (row["outcome"], row["basis"]) == ("interrupted", "gateway_count") and row["output_tokens"] > 0
    d.gateway.post("/v1/messages", kit.messages("claude/gpt+events=20+rst_events=5", stream=True))
    d.gateway.rows(2)
    assert d.last()["basis"] == "provider_partial"


def test_a_refusal_and_a_given_answer_cost_nothing(desk):
    """An error status before any output is no debt; an answer that is given again says so."""
    d = desk()
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt+status=429"))
    row = d.last()
    assert (row["basis"], row["cost"]) == ("none", "0")
    for n in (2, 3):
        got = d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt"), headers=dict(d.gateway.headers(), **{"Idempotency-Key": "one"}))
        assert got.status_code == 200
        d.gateway.rows(n)
    row = d.last()
    assert (row["basis"], row["cost"], row["outcome"]) == ("cache", "0", "ok")


def test_more_than_was_held_is_booked_in_full(sim, desk):
    """A provider that counts more than it can have: the row says overrun, and so does the log."""
    d = desk()
    made = d("POST", "/v1/manage/apikey", {"name": "limited", "monthly_limit": 1}, expect=201)
    sim.order("words=5000")
    got = d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt", max_tokens=20), headers={"Authorization": f"Bearer {made['api_key']}"})
    assert got.status_code == 200
    row = d.last()
    assert row["overrun"] and row["basis"] == "provider_final" and nano(row["cost"]) == bill_nusd(sim.bill()[-1])
    assert [line for line in d.gateway.lines() if line.get("event") == "overrun"]


# ---- by which price ----

def test_each_request_keeps_its_price(desk):
    """A change of price is for later requests: each row says by which it was settled and where that came from; the audit computes all again."""
    d = desk()
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt"))
    d.gateway.rows(1)
    first = d.last()
    assert first["price"] == {"source": "configuration", "above_tokens": 0, "input": 10**9, "output": 2 * 10**9}
    d.gateway.config["models"]["openai/gpt"] = dict(MODEL, output_price="20")
    d.gateway.write_config()
    d.gateway.stop()
    d.gateway.again()
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt"))
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt-4o-mini"))
    d.gateway.post("/v1/chat/completions", kit.chat("sim/nobody-knows"))
    d.gateway.rows(4)
    rows = d("GET", REQUESTS)["requests"]
    assert [r["price"] and r["price"]["source"] for r in rows] == [None, "catalog", "configuration", "configuration"]
    assert rows[0]["cost"] is None and rows[2]["price"]["output"] == 20 * 10**9 and rows[3] == first
    found = json.loads(d.gateway.command("audit", "ledger", "-o", "json"))
    assert found["priced"] == 3 and found["unpriced"] == 1


def test_an_amount_that_is_not_its_price_is_named(desk):
    """Amount and sums altered together: only the price tells, and the request is named."""
    d = desk()
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt"))
    d.gateway.rows(1)
    row = d.last()
    d.gateway.stop()
    with sqlite3.connect(f"{d.gateway.data_dir}/sluice.db") as db:
        for table in ("request", "usage_hour", "usage_day"):
            db.execute(f"UPDATE {table} SET cost_nusd = cost_nusd + 1")
    done = kit.command("audit", "ledger", "-c", d.gateway.config_path, cwd=d.gateway.home)
    assert done.returncode == 1 and row["id"] in done.stderr
    d.gateway.damaged = True


# ---- corrections ----

def test_a_correction_is_an_entry_of_its_own(desk):
    """By command, with the server running and stopped, and by the API: usage and spend follow, the row stays, the log of changes has it."""
    d = desk()
    made = d("POST", "/v1/manage/apikey", {"name": "corrected", "monthly_limit": 1}, expect=201)
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt", max_tokens=20), headers=headers)
    row = d.last()
    path = f"{REQUESTS}/{row['id']}"

    def spent():
        key, org = (nano(d("GET", p)["monthly_spend"]) for p in (f"/v1/manage/apikey/{made['api_key_id']}", "/v1/manage/org"))
        assert key == org == d.usage()[0]
        return key
    assert spent() == nano(row["cost"])
    d.gateway.command("audit", "correct", "--request", row["id"], "--amount", "0.5", "--why", "invoice 4711")
    assert spent() == NANO // 2
    assert d("POST", path + "/correct", {"amount": "0.25", "why": "credit note"}) == {"cost": "0.25", "difference": "-0.25"}
    assert spent() == NANO // 4
    now = d("GET", path)
    assert (now["cost"], now["settled_cost"], [c["why"] for c in now["corrections"]]) == ("0.25", row["cost"], ["invoice 4711", "credit note"])
    d.gateway.stop()
    d.gateway.command("audit", "correct", "--request", row["id"], "--amount", "0.125", "--why", "second look")
    d.gateway.again()
    assert spent() == NANO // 8
    found = json.loads(d.gateway.command("audit", "ledger", "-o", "json"))
    assert found["corrections"] == 3 and nano(found["cost"]) == NANO // 8
    entries = [e for e in d("GET", "/v1/manage/audit")["entries"] if e["action"] == "request.correct"]
    assert [e["actor"].split(":")[0] for e in entries] == ["command-line", "apikey", "control-socket"]
    d.gateway.command("audit", "verify")


def test_a_correction_gives_a_cost_to_what_had_none(desk):
    """A request without a known price: then it counts, and is unpriced no more; refusals say what is wrong."""
    d = desk()
    d.gateway.post("/v1/chat/completions", kit.chat("sim/nobody-knows"))
    d.gateway.rows(1)
    row = d.last()
    assert row["cost"] is None and d.usage() == (0, 1)
    d("POST", f"{REQUESTS}/{row['id']}/correct", {"amount": 0.01, "why": "invoice"})
    assert d.usage() == (NANO // 100, 0)
    for body, status in (({"amount": "1"}, 400), ({"why": "x"}, 400), ({"amount": -1, "why": "x"}, 400), ({"amount": 1, "why": ""}, 400)):
        d("POST", f"{REQUESTS}/{row['id']}/correct", body, expect=status)
    d("POST", f"{REQUESTS}/req_00000000000000000000000001/correct", {"amount": 1, "why": "x"}, expect=404)
    d("GET", f"{REQUESTS}/nonsense", expect=400)


# ---- lists and sums ----

def test_requests_in_pages(desk):
    """Newest first, of all or of a key; each page says where the next begins."""
    d = desk()
    made = d("POST", "/v1/manage/apikey", {"name": "other"}, expect=201)
    for n in range(5):
        key = {"Authorization": f"Bearer {made['api_key']}"} if n % 2 else None
        d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt"), headers=key)
    d.gateway.rows(5)
    seen, before = [], ""
    while before is not None:
        page = d("GET", f"{REQUESTS}?limit=2{before and '&before=' + before}")
        seen += [r["id"] for r in page["requests"]]
        before = page["next_before"]
    assert len(seen) == 5 and seen == sorted(seen, reverse=True)
    own = d("GET", "/v1/manage/apikey/self/request", key=made["api_key"])["requests"]
    assert len(own) == 2 and {r["api_key_id"] for r in own} == {made["api_key_id"]}


def test_usage_by_minute_status_and_tool(desk):
    """Sums by the minute; by status and by what asked: its title, or the product of its user agent."""
    d = desk()
    for more in ({"X-Title": "Roo Code"}, {"User-Agent": "claude-cli/2.1.0 (external)"}, {"User-Agent": "claude-cli/2.0.9"}):
        d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt"), headers=dict(d.gateway.headers(), **more))
    d.gateway.post("/v1/chat/completions", kit.chat("openai/gpt+status=500"), headers=dict(d.gateway.headers(), **{"X-Title": "Roo Code"}))
    d.gateway.rows(4)
    now = datetime.datetime.now(datetime.timezone.utc)
    start, end = ((now + datetime.timedelta(minutes=m)).strftime("%Y-%m-%dT%H:%M:00Z") for m in (-5, 2))
    for resolution in ("minute", "hour", "day"):
        if resolution != "minute":
            start, end = ((now + datetime.timedelta(days=x)).strftime("%Y-%m-%dT%H:00:00Z") for x in (-1, 1))
        found = d("GET", f"/v1/manage/org/usage?start={start}&end={end}&resolution={resolution}&group_by=tool,status")["usage"]
        got = {}
        for bucket in found.values():
            for group in bucket["grouped_data"]:
                name = (group["group_by_values"]["tool"], group["group_by_values"]["status"])
                got[name] = got.get(name, 0) + group["total_requests"]
        assert got == {("Roo Code", "2xx"): 1, ("claude-cli", "2xx"): 2, ("Roo Code", "5xx"): 1}, resolution
