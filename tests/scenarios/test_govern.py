# SPDX-License-Identifier: Apache-2.0
"""Organisation, groups, projects, users, service accounts: whose money it is, who may see and change what, and the log of it."""
import itertools
import re
import uuid

import pytest
import requests

import kit

KEYS, ORG, USERS, GROUPS = "/v1/manage/apikey", "/v1/manage/org", "/v1/manage/org/member", "/v1/manage/group"
REQUESTS = "/v1/manage/request"
PROJECTS, ACCOUNTS, LISTS, AUDIT = "/v1/manage/project", "/v1/manage/service-account", "/v1/manage/access-list", "/v1/manage/audit"
SCOPES = {USERS: "members", GROUPS: "groups", PROJECTS: "projects", ACCOUNTS: "service_accounts"}
NANO = 10**9
MODEL = {"context_window": 4096, "max_output": 1000, "input_price": "1", "output_price": "2"}
START = "start=2026-01-01T00:00:00Z&end=2026-04-01T00:00:00Z"


class Api:
    def __init__(self, gateway):
        self.gateway = gateway
        self.manager = gateway.make_key("manager", "--manage", "write", "--completions", "none")

    def __call__(self, method, path, body=None, key=None, expect=None):
        got = requests.request(method, self.gateway.url + path, json=body, timeout=30, headers={"Authorization": f"Bearer {key or self.manager}"})
        assert expect is None or got.status_code == expect, f"{method} {path}: {got.status_code} {got.text}"
        return got

    def make(self, path, **body):
        if path == USERS:
            body.setdefault("email", f"{uuid.uuid4().hex[:8]}@example.org")
        else:
            body.setdefault("name", f"n-{uuid.uuid4().hex[:8]}")
        return self("POST", path, body, expect=201).json()

    def key(self, by=None, **body):
        """A key that may call models: its id and text."""
        made = self("POST", KEYS, dict({"name": f"k-{uuid.uuid4().hex[:8]}"}, **body), key=by, expect=201).json()
        return made["api_key_id"], made["api_key"]

    def ask(self, key, model="sim/gpt", path="/v1/chat/completions", **more):
        return self.gateway.post(path, kit.chat(model, max_tokens=20, **more), headers={"Authorization": f"Bearer {key}"})

    def spent(self, path):
        return round(float(self("GET", path, expect=200).json()["monthly_spend"]) * NANO)


@pytest.fixture
def api(sim, make_gateway):
    found = kit.providers(sim)
    return Api(make_gateway({"providers": found, "models": {f"{p}/{n}": MODEL for p in found for n in ("gpt", "claude", "echo")}}))


# ---- objects ----

@pytest.mark.parametrize("path", SCOPES)
def test_an_object_lives_from_creation_to_deletion(api, path):
    """Create, list, show, change, delete; names are there once, unknown ids 404, no UUID 400."""
    made = api.make(path)
    word = {USERS: "user_id", GROUPS: "group_id", PROJECTS: "project_id", ACCOUNTS: "service_account_id"}[path]
    assert made["id"] == made[word]
    shown = api("GET", f"{path}/{made['id']}", expect=200).json()
    assert shown == {k: v for k, v in made.items() if k != word}
    assert shown in api("GET", path, expect=200).json()[SCOPES[path]]
    name = "email" if path == USERS else "name"
    assert api("POST", path, {name: made[name]}).status_code == 409
    changed = api("PATCH", f"{path}/{made['id']}", {"name": "Renamed"}, expect=200).json()
    assert changed["name"] == "Renamed" and api("GET", f"{path}/{made['id']}").json()["name"] == "Renamed"
    if path != ACCOUNTS:
        api("POST", f"{path}/{made['id']}/limit", {"monthly_limit": 12.5}, expect=204)
        assert api("GET", f"{path}/{made['id']}").json()["monthly_limit"] == "12.5"
    assert api("GET", f"{path}/{made['id']}/usage?{START}", expect=200).json() == {"usage": {}}
    assert api("DELETE", f"{path}/{made['id']}", expect=200).json() == {"deleted": True}
    assert api("GET", f"{path}/{made['id']}").status_code == 404
    for method, tail, body in (("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("POST", "/limit", {"monthly_limit": 1})):
        assert api(method, f"{path}/{uuid.uuid4()}{tail}", body).status_code == 404
        assert api(method, f"{path}/not-a-uuid{tail}", body).status_code == 400


@pytest.mark.parametrize("path,body,param", [
    (GROUPS, {}, "name"), (GROUPS, {"name": ""}, "name"), (GROUPS, {"name": "a\nb"}, "name"), (GROUPS, {"name": "x" * 129}, "name"),
    (GROUPS, {"name": "g", "monthly_limit": -1}, "monthly_limit"), (GROUPS, {"name": "g", "budget_mode": "soft"}, "budget_mode"),
    (GROUPS, {"name": "g", "colour": "red"}, "colour"), (PROJECTS, {"name": "p", "budget_mode": "track"}, "budget_mode"),
    (ACCOUNTS, {"name": "s", "monthly_limit": 1}, "monthly_limit"), (USERS, {"name": "Ana"}, "email"), (USERS, {"email": "ana"}, "email"),
    (USERS, {"email": "a@b.c", "role": "owner"}, "role"), (USERS, {"email": "a@b.c", "group_ids": [str(uuid.uuid4())]}, "group_ids"),
    (KEYS, {"name": "k", "group_id": str(uuid.uuid4())}, "group_id"), (KEYS, {"name": "k", "project_id": "x"}, "project_id"),
    (KEYS, {"name": "k", "access_list_id": str(uuid.uuid4())}, "access_list_id"),
    (LISTS, {"name": "l", "chat": ["openai/*"]}, "chat"), (LISTS, {"name": "l", "chat": "openai/x"}, "chat"), (LISTS, {"name": "l", "video": []}, "video"),
    (LISTS, {"name": "l", "auto_approve": 1}, "auto_approve"), (LISTS, {"chat": []}, "name")])
def test_wrong_members_are_named_and_nothing_is_made(api, path, body, param):
    """400 with the member in `param`; the list is as it was."""
    before = api("GET", path, expect=200).json()
    got = api("POST", path, body, expect=400)
    assert got.json()["error"]["param"] == param, got.text
    assert api("GET", path).json() == before


def test_the_organisation_is_there_from_the_start(api):
    """One, with name and limit; nobody has a balance here."""
    org = api("GET", ORG, expect=200).json()
    assert org["monthly_limit"] == "0" and org["balance"] is None and org["name"]
    assert api("PATCH", ORG, {"name": "ACME", "monthly_limit": "100"}, expect=200).json()["name"] == "ACME"
    api("POST", ORG + "/limit", {"monthly_limit": "50"}, expect=204)
    assert api("GET", ORG).json()["monthly_limit"] == "50"


def test_keys_say_whose_they_are(api):
    """A key shows its group, project, owner and account; PATCH moves it; owners with keys stay."""
    user, group, project, account = (api.make(p) for p in (USERS, GROUPS, PROJECTS, ACCOUNTS))
    key, _ = api.key(user_id=user["id"], group_id=group["id"], project_id=project["id"], service_account_id=account["id"])
    shown = api("GET", f"{KEYS}/{key}", expect=200).json()
    assert shown["group"] == {"id": group["id"], "name": group["name"]} and shown["project"]["id"] == project["id"]
    assert shown["created_by"] == {"id": user["id"], "email": user["email"]} and shown["service_account"]["name"] == account["name"]
    for path, owner in ((GROUPS, group), (PROJECTS, project), (ACCOUNTS, account)):
        assert api("DELETE", f"{path}/{owner['id']}").status_code == 409
    assert api("PATCH", f"{KEYS}/{key}", {"group_id": None, "name": "moved"}, expect=200).json()["group"] is None
    api("DELETE", f"{GROUPS}/{group['id']}", expect=200)
    assert api("GET", f"{KEYS}/{key}").json()["name"] == "moved"


def test_a_user_who_goes_takes_the_keys_along(api):
    """Deleting a user ends the user's keys before the answer leaves."""
    user = api.make(USERS)
    _, key = api.key(user_id=user["id"])
    _, other = api.key()
    assert api("GET", f"{USERS}/{user['id']}").json()["status"] == "active" and api.ask(key).status_code == 200
    api("DELETE", f"{USERS}/{user['id']}", expect=200)
    assert api.ask(key).status_code == 403 and api.ask(other).status_code == 200


def test_members_of_groups(api):
    """Added, given a role, taken out; shown at the group and at the user."""
    group, other = api.make(GROUPS), api.make(GROUPS)
    user = api.make(USERS, group_ids=[other["id"]], name="Ana")
    path = f"{GROUPS}/{group['id']}/member"
    for method, role in (("POST", "member"), ("PUT", "admin")):
        found = api(method, path, {"user_id": user["id"], "role": role}, expect=200).json()["members"]
        assert found == [{"user_id": user["id"], "email": user["email"], "name": "Ana", "role": role}]
    assert {g["id"]: g["role"] for g in api("GET", f"{USERS}/{user['id']}").json()["groups"]} == {group["id"]: "admin", other["id"]: "member"}
    assert api("PUT", f"{path}/{user['id']}/role", {"role": "member"}, expect=200).json()["members"][0]["role"] == "member"
    assert api("PUT", f"{path}/{uuid.uuid4()}/role", {"role": "member"}).status_code == 404
    assert api("DELETE", path, {"user_id": user["id"]}, expect=200).json()["members"] == []
    assert api("DELETE", path, {"user_id": user["id"]}).status_code == 404
    assert api("POST", path, {"user_id": str(uuid.uuid4())}).status_code == 400
    api("DELETE", f"{USERS}/{user['id']}", expect=200)
    assert api("GET", f"{GROUPS}/{other['id']}").json()["members"] == []


# ---- money ----

OWNERS = [(GROUPS, "group_id", "group"), (PROJECTS, "project_id", "project"), (USERS, "user_id", "user"), (ORG, None, "organization")]


@pytest.mark.parametrize("path,member,word", OWNERS)
def test_a_limit_holds_for_all_keys_together(api, path, member, word):
    """Two keys of one owner spend one limit: then 402, which names the owner; other keys go on."""
    owner = {"id": ""} if member is None else api.make(path, **({"budget_mode": "enforce"} if path == GROUPS else {}))
    at = path if member is None else f"{path}/{owner['id']}"
    keys = [api.key(**({member: owner["id"]} if member else {}))[1] for _ in range(2)]
    _, free = api.key()
    cost = round(api.ask(keys[0]).json()["usage"]["cost"] * NANO)
    assert api.spent(at) == cost
    api("POST", at + "/limit", {"monthly_limit": f"{(2 * cost + cost // 2) / NANO:.9f}"}, expect=204)
    codes = []
    for key in itertools.islice(itertools.cycle(keys), 4):
        answer = api.ask(key)
        codes.append(answer.status_code)
    assert codes[-1] == 402 and answer.headers["x-should-retry"] == "false"
    assert word in answer.json()["error"]["message"] and "resets at" in answer.json()["error"]["message"]
    assert api.spent(at) == sum(r["cost_nusd"] for r in api.gateway.rows(5)) <= 2 * cost + cost // 2
    assert api.ask(free).status_code == (402 if member is None else 200)
    api("POST", at + "/limit", {"monthly_limit": 0}, expect=204)
    assert api.ask(keys[0]).status_code == 200


def test_a_group_that_tracks_only_counts(api):
    """budget_mode track: the limit is shown, not held; enforce makes it hold at once."""
    group = api.make(GROUPS, monthly_limit="0.000001")
    assert group["budget_mode"] == "track"
    _, key = api.key(group_id=group["id"])
    assert api.ask(key).status_code == 200 and api.spent(f"{GROUPS}/{group['id']}") > 0
    api("PATCH", f"{GROUPS}/{group['id']}", {"budget_mode": "enforce"}, expect=200)
    assert api.ask(key).status_code == 402


@pytest.mark.parametrize("kill", [False, True])
def test_what_owners_spent_is_known_after_a_restart(api, kill):
    """Spend of key, group, project, user and organisation: the same before and after; usage agrees."""
    user, group, project = (api.make(p) for p in (USERS, GROUPS, PROJECTS))
    key, text = api.key(user_id=user["id"], group_id=group["id"], project_id=project["id"])
    places = [f"{KEYS}/{key}", f"{USERS}/{user['id']}", f"{GROUPS}/{group['id']}", f"{PROJECTS}/{project['id']}", ORG]
    for _ in range(3):
        assert api.ask(text).status_code == 200
    before = [api.spent(p) for p in places]
    assert len(set(before)) == 1 and before[0] > 0
    if kill:
        api.gateway.kill9()
    else:
        api.gateway.stop()
    api.gateway.again()
    assert [api.spent(p) for p in places] == before
    api("PATCH", f"{KEYS}/{key}", {"group_id": None}, expect=200)  # what was spent there stays there
    assert api.ask(text).status_code == 200
    assert api.spent(places[2]) == before[2] and api.spent(places[3]) > before[3]
    row = api.gateway.rows(4)[-1]
    day = f"start={kit_day(row)}T00:00:00Z"
    kit.wait_until(lambda: api("GET", f"{ORG}/usage?{day}").json()["usage"], "usage is summed")
    grouped = api("GET", f"{ORG}/usage?{day}&group_by=group_name,project_id", expect=200).json()["usage"]
    found = {g["group_by_values"]["group_name"]: g["total_requests"] for b in grouped.values() for g in b["grouped_data"]}
    assert found == {group["name"]: 3, "": 1}
    mine = api("GET", f"{GROUPS}/{group['id']}/usage?{day}", expect=200).json()["usage"]
    assert sum(b["total_requests"] for b in mine.values()) == 3


def kit_day(row):
    import datetime
    return datetime.datetime.fromtimestamp(row["started_ms"] / 1000, datetime.timezone.utc).date().isoformat()


# ---- models ----

def models(api, key):
    return {m["id"] for m in api.gateway.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).json()["data"]}


def test_access_lists_count_in_layers(api):
    """The key's list, else the group's, cut by the organisation's; /v1/models agrees; changes hold at once."""
    group = api.make(GROUPS)
    key, text = api.key(group_id=group["id"])
    _, free = api.key()
    everything = models(api, text)
    small = api.make(LISTS, chat=["sim/gpt"])
    wide = api.make(LISTS, chat=["sim/*"], embedding=["sim/*"], auto_approve=True)
    api("POST", f"{LISTS}/{small['id']}/attach", {"group_id": group["id"]}, expect=200)
    assert models(api, text) == {"sim/gpt"} and models(api, free) == everything
    assert api.ask(text).status_code == 200
    refused = api.ask(text, "sim/echo")
    assert refused.status_code == 403 and small["name"] in refused.json()["error"]["message"]
    assert api.gateway.get("/v1/models/sim/echo", headers={"Authorization": f"Bearer {text}"}).status_code == 404
    assert api.gateway.post("/v1/embeddings", {"model": "sim/gpt", "input": "x"}, headers={"Authorization": f"Bearer {text}"}).status_code == 403
    api("PATCH", f"{LISTS}/{small['id']}", {"chat": ["sim/gpt", "sim/echo"]}, expect=200)
    assert api.ask(text, "sim/echo").status_code == 200
    assert api("PATCH", f"{KEYS}/{key}", {"access_list_id": wide["id"]}, expect=200).json()["access_list_id"] == wide["id"]
    assert api.ask(text, "sim/claude").status_code == 200
    api("POST", f"{LISTS}/{small['id']}/attach", {"organization": True}, expect=200)
    assert api.ask(text, "sim/claude").status_code == api.ask(free, "sim/claude").status_code == 403
    for used in (small, wide):
        assert api("DELETE", f"{LISTS}/{used['id']}").status_code == 409
    api.gateway.stop()
    api.gateway.again()
    assert api.ask(text, "sim/claude").status_code == 403 and api.ask(text).status_code == 200
    api("POST", f"{LISTS}/{small['id']}/detach", {"organization": True}, expect=200)
    api("POST", f"{LISTS}/{small['id']}/detach", {"group_id": group["id"]}, expect=200)
    api("POST", f"{LISTS}/{wide['id']}/detach", {"api_key_id": key}, expect=200)
    for unused in (small, wide):
        api("DELETE", f"{LISTS}/{unused['id']}", expect=200)
    assert api.ask(text, "sim/claude").status_code == 200 and models(api, text) == everything


# ---- who may ----

ROUTES = [(m, p, needs, reach) for path in SCOPES for m, p, needs, reach in (
    ("GET", path, "read", "own"), ("POST", path, "write", "admin"), ("GET", path + "/{id}", "read", "own"), ("PATCH", path + "/{id}", "write", "admin"),
    ("DELETE", path + "/{id}", "write", "admin"), ("POST", path + "/{id}/limit", "write", "admin"), ("GET", path + "/{id}/usage?" + START, "read", "own"))]
ROUTES += [("GET", ORG, "read", "own"), ("PATCH", ORG, "write", "admin"), ("POST", ORG + "/limit", "write", "admin"),
           ("GET", ORG + "/usage?" + START, "read", "admin"), ("POST", GROUPS + "/{id}/member", "write", "admin"),
           ("PUT", GROUPS + "/{id}/member", "write", "admin"), ("DELETE", GROUPS + "/{id}/member", "write", "admin"),
           ("PUT", GROUPS + "/{id}/member/{user}/role", "write", "admin"),
           ("GET", LISTS, "read", "own"), ("POST", LISTS, "write", "admin"), ("GET", LISTS + "/{id}", "read", "own"),
           ("PATCH", LISTS + "/{id}", "write", "admin"), ("DELETE", LISTS + "/{id}", "write", "admin"),
           ("POST", LISTS + "/{id}/attach", "write", "admin"), ("POST", LISTS + "/{id}/detach", "write", "admin"), ("GET", AUDIT, "read", "admin"),
           ("GET", KEYS, "read", "own"), ("POST", KEYS, "write", "own"), ("GET", KEYS + "/{id}", "read", "own"), ("PATCH", KEYS + "/{id}", "write", "own"),
           ("DELETE", KEYS + "/{id}", "write", "own"), ("GET", KEYS + "/{id}/usage?" + START, "read", "own"),
           ("POST", KEYS + "/{id}/limit", "write", "own"), ("POST", KEYS + "/{id}/label", "write", "own"), ("POST", KEYS + "/{id}/expiry", "write", "own"),
           ("GET", KEYS + "/{id}/request", "read", "own"), ("GET", REQUESTS, "read", "admin"), ("GET", REQUESTS + "/{id}", "read", "admin"),
           ("POST", REQUESTS + "/{id}/correct", "write", "admin")]


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Keys of every right, of nobody, of an admin and of a member; an object of each kind that is not the member's."""
    home = tmp_path_factory.mktemp("town")
    sim = kit.Sim(home)
    (home / "gateway").mkdir()
    api = Api(kit.Gateway(home / "gateway", {"providers": kit.providers(sim)}))
    people = {"nobody": {}, "admin": {"user_id": api.make(USERS, role="admin")["id"]}, "member": {"user_id": api.make(USERS)["id"]}}
    api.keys = {(who, right): api.key(permissions={"manage": right, "completions": "none"}, **owner)[1]
                for who, owner in people.items() for right in ("none", "read", "write")}
    api.person = people["member"]["user_id"]
    assert api.ask(api.key()[1]).status_code == 200
    api.gateway.rows(1)
    api.request = api("GET", REQUESTS, expect=200).json()["requests"][0]["id"]
    yield api
    api.gateway.finish()
    sim.stop()


def test_the_matrix_has_every_route_there_is(town):
    """/openapi.json, open to all, is made of the rows that are served: each is in the matrix, with the same right and reach."""
    document = requests.get(town.gateway.url + "/openapi.json", timeout=30).json()
    assert document["openapi"].startswith("3.1") and document["security"] == [{"key": []}]
    served = {(m.upper(), path): (o["x-sluice-manage"].split(",")[0], o["x-sluice-reach"])
              for path, item in document["paths"].items() for m, o in item.items()}
    assert served.pop(("GET", "/x/apikey")) == ("any", "own")
    ours = {(m, p.split("?")[0]): (needs, reach) for m, p, needs, reach in ROUTES}
    beyond = {"/member", "/member/{user}/role", "/attach", "/detach"}  # of a group's admins too: decided by the object
    assert set(ours) == set(served)
    for route, (needs, reach) in ours.items():
        assert served[route][0] == needs and (served[route][1] == reach or any(route[1].endswith(b) for b in beyond)), route
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"] and {p["name"] for p in operation["parameters"] if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
            assert ("requestBody" in operation) == (method in ("post", "patch", "put") or path.endswith("/member") and method == "delete")


@pytest.mark.parametrize("method,path,needed,reach", ROUTES, ids=lambda v: str(v).split("?")[0])
def test_every_route_knows_right_and_role(town, method, path, needed, reach):
    """Each route for each right and each kind of owner: 401 without a key, 403 without right or role, 404 for what is another's."""
    kind = path.split("/{id}")[0]
    order = ["none", "read", "write"]
    assert requests.request(method, town.gateway.url + path, timeout=30).status_code == 401
    for (who, right), key in town.keys.items():
        target = town.key()[0] if kind == KEYS else town.request if kind == REQUESTS else town.make(kind)["id"] if "{id}" in path else ""
        member = {"user_id": town.person}
        if method == "DELETE" and path.endswith("/member"):
            town("POST", f"{GROUPS}/{target}/member", member, expect=200)
        path = path.replace("{user}", town.person)
        body = None if method == "GET" else {"role": {"role": "member"}, "limit": {"monthly_limit": 0}, "label": {"labels": {}}, "expiry": {"expires_at": None}, "member": member,
                                            "attach": {"organization": True}, "detach": {"organization": True}, "correct": {"amount": "1", "why": "x"}}.get(path.rsplit("/", 1)[1])
        if path == ORG + "/member":
            body = None
        if body is None and method in ("POST", "PATCH"):
            body = {"name": uuid.uuid4().hex} if method == "PATCH" or kind != USERS else {"email": uuid.uuid4().hex + "@x.y"}
        if path.endswith("/detach"):
            town("POST", f"{LISTS}/{target}/attach", {"organization": True}, expect=200)
        got = town(method, path.replace("{id}", target), body, key=key).status_code
        if order.index(right) < order.index(needed):
            wanted = {403}
        elif who == "member" and reach == "admin":
            wanted = {403, 404} if "/member" in path else {403}
        elif who == "member" and "{id}" in path and kind != LISTS:
            wanted = {404}
        elif kind == ACCOUNTS and path.endswith("/limit"):
            wanted = {404}
        else:
            wanted = {200, 201, 204}
        assert got in wanted, f"{who} with manage {right}: {got}"
        if path.endswith(("/attach", "/detach")):
            town("POST", f"{LISTS}/{target}/detach", {"organization": True})


def test_a_member_sees_and_makes_their_own_keys_alone(api):
    """Own keys, own groups, oneself; never another's by id, list or usage."""
    ana, bob = (api.make(USERS) for _ in range(2))
    mine, other = api.make(GROUPS), api.make(GROUPS)
    api("POST", f"{GROUPS}/{mine['id']}/member", {"user_id": ana["id"]}, expect=200)
    _, key = api.key(user_id=ana["id"], permissions={"manage": "write", "completions": "write"})
    foreign, _ = api.key(user_id=bob["id"])
    made, _ = api.key(by=key, group_id=mine["id"])
    shown = api("GET", KEYS, key=key, expect=200).json()["keys"]
    assert {k["created_by"]["id"] for k in shown} == {ana["id"]} and made in {k["id"] for k in shown}
    assert api("GET", f"{KEYS}/{foreign}", key=key).status_code == api("GET", f"{KEYS}/{foreign}/usage?{START}", key=key).status_code == 404
    for body in ({"group_id": other["id"]}, {"user_id": bob["id"]}, {"project_id": api.make(PROJECTS)["id"]}, {"access_list_id": api.make(LISTS)["id"]}):
        assert api("POST", KEYS, dict({"name": uuid.uuid4().hex}, **body), key=key).status_code == 403
        assert api("PATCH", f"{KEYS}/{made}", body, key=key).status_code == 403
    # A key of nobody would reach everything; a project that an admin has set stays.
    project = api.make(PROJECTS)
    api("PATCH", f"{KEYS}/{made}", {"project_id": project["id"]}, expect=200)
    for body in ({"user_id": None}, {"project_id": None}):
        assert api("PATCH", f"{KEYS}/{made}", body, key=key).status_code == 403
    assert api("POST", KEYS, {"name": uuid.uuid4().hex, "user_id": None}, key=key).status_code == 403
    shown = api("GET", f"{KEYS}/{made}").json()
    assert shown["created_by"]["id"] == ana["id"] and shown["project"]["id"] == project["id"]
    assert api("PATCH", f"{KEYS}/{made}", {"user_id": ana["id"], "project_id": project["id"], "group_id": None}, key=key).status_code == 200
    assert [g["id"] for g in api("GET", GROUPS, key=key).json()["groups"]] == [mine["id"]]
    assert [u["id"] for u in api("GET", USERS, key=key).json()["members"]] == [ana["id"]]
    assert api("GET", USERS + "/self", key=key).json()["email"] == ana["email"]


def test_an_admin_of_a_group_runs_it(api):
    """Members and lists that are not restricted; nothing else, and not in another group."""
    ana, bob = (api.make(USERS) for _ in range(2))
    mine, other = api.make(GROUPS), api.make(GROUPS)
    for group in (mine, other):
        api("POST", f"{GROUPS}/{group['id']}/member", {"user_id": ana["id"], "role": "admin" if group is mine else "member"}, expect=200)
    _, key = api.key(user_id=ana["id"], permissions={"manage": "write", "completions": "none"})
    assert api("POST", f"{GROUPS}/{mine['id']}/member", {"user_id": bob["id"]}, key=key).status_code == 200
    assert api("DELETE", f"{GROUPS}/{mine['id']}/member", {"user_id": bob["id"]}, key=key).status_code == 200
    assert api("POST", f"{GROUPS}/{other['id']}/member", {"user_id": bob["id"]}, key=key).status_code == 403
    open_list, closed = api.make(LISTS, chat=["sim/gpt"]), api.make(LISTS, chat=["sim/gpt"], restricted=True)
    for word in ("attach", "detach"):
        assert api("POST", f"{LISTS}/{open_list['id']}/{word}", {"group_id": mine["id"]}, key=key).status_code == 200
        assert api("POST", f"{LISTS}/{closed['id']}/{word}", {"group_id": mine["id"]}, key=key).status_code == 403
        assert api("POST", f"{LISTS}/{open_list['id']}/{word}", {"group_id": other["id"]}, key=key).status_code == 403
        assert api("POST", f"{LISTS}/{open_list['id']}/{word}", {"organization": True}, key=key).status_code == 403
    # What an admin has restricted is neither replaced nor taken away, by the name of another list either.
    api("POST", f"{LISTS}/{closed['id']}/attach", {"group_id": mine["id"]}, expect=200)
    assert api("POST", f"{LISTS}/{open_list['id']}/attach", {"group_id": mine["id"]}, key=key).status_code == 403
    assert api("POST", f"{LISTS}/{open_list['id']}/detach", {"group_id": mine["id"]}, key=key).status_code == 403
    assert api("POST", f"{LISTS}/{open_list['id']}/detach", {"group_id": mine["id"]}).status_code == 404
    assert api("GET", f"{GROUPS}/{mine['id']}").json()["access_list_id"] == closed["id"]
    assert api("PATCH", f"{GROUPS}/{mine['id']}", {"monthly_limit": 9}, key=key).status_code == 403


# ---- the log of changes ----

def test_every_change_is_in_the_audit_log(api):
    """Who, what, before and after, without secrets; failed changes are not; pages go back to the first."""
    start = len(api("GET", AUDIT + "?limit=1000").json()["entries"])
    key, text = api.key()
    api("POST", f"{KEYS}/{key}/limit", {"monthly_limit": 7}, expect=204)
    api("POST", KEYS, {"name": ""}, expect=400)
    group = api.make(GROUPS)
    api("DELETE", f"{GROUPS}/{group['id']}", expect=200)
    api("DELETE", f"{KEYS}/{key}", expect=200)
    got = api("GET", AUDIT + "?limit=1000", expect=200)
    entries = got.json()["entries"][::-1][start:]
    assert [e["action"] for e in entries] == ["apikey.create", "apikey.limit", "group.create", "group.delete", "apikey.delete"]
    created, limited, _, gone, _ = entries
    assert created["before"] is None and created["after"]["id"] == created["target"] == key
    assert (limited["before"]["monthly_limit"], limited["after"]["monthly_limit"]) == ("0", "7")
    assert gone["before"]["name"] == group["name"] and gone["after"] is None
    assert created["actor"].startswith("apikey:") and created["source"].startswith("127.0.0.1")
    assert text not in got.text and api.manager not in got.text
    seen, before = [], None
    while True:
        page = api("GET", AUDIT + "?limit=2" + (f"&before={before}" if before else "")).json()
        seen += [e["seq"] for e in page["entries"]]
        before = page["next_before"]
        if before is None:
            break
    assert seen == list(range(len(seen), 0, -1))


@pytest.mark.parametrize("change", ["UPDATE audit SET new = replace(new, '7', '8') WHERE action = 'apikey.limit'", "DELETE FROM audit WHERE seq = 2",
                                    "UPDATE audit SET actor = 'nobody' WHERE seq = 1", "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)"])
def test_a_log_that_was_altered_is_found_out(api, change):
    """`sluice audit verify`: whole beside the running server, and not after an entry was changed or taken out."""
    key, _ = api.key()
    api("POST", f"{KEYS}/{key}/limit", {"monthly_limit": 7}, expect=204)
    last = api.gateway.command("audit", "verify").split()[-1]
    assert last == api("GET", AUDIT + "?limit=1").json()["entries"][0]["hash"]
    api.gateway.command("audit", "verify", "--last", last)
    api.gateway.stop()
    assert api.gateway.alter(change) > 0
    api.gateway.command("audit", "verify", "--last", last, expect=1)
    if "max(seq)" not in change:
        api.gateway.command("audit", "verify", expect=1)


def test_changes_without_a_server_are_in_the_log_too(api):
    """`sluice keys create` and `delete` on a stopped installation."""
    api.gateway.stop()
    api.gateway.make_key("offline")
    api.gateway.command("keys", "delete", "offline", "--yes")
    api.gateway.again()
    entries = api("GET", AUDIT).json()["entries"]
    assert [(e["actor"], e["action"]) for e in entries[:2]] == [("command-line", "apikey.delete"), ("command-line", "apikey.create")]
    api.gateway.command("audit", "verify")


def test_a_ledger_that_was_altered_is_found_out(api):
    """`sluice audit ledger` adds up all requests: sums that differ, amounts below zero."""
    _, key = api.key()
    assert api.ask(key).status_code == 200
    api.gateway.rows(1)
    assert "1 requests" in api.gateway.command("audit", "ledger")
    api.gateway.stop()
    for change, word in (("UPDATE request SET cost_nusd = cost_nusd + 1", "sums"), ("UPDATE usage_hour SET output = output + 1", "sums"),
                         ("UPDATE request SET cost_nusd = -1", "negative")):
        assert api.gateway.alter(change) > 0
        done = kit.command("audit", "ledger", "-c", api.gateway.config_path, cwd=api.gateway.home)
        assert done.returncode == 1 and word in done.stderr
    api.gateway.damaged = True


# ---- rates ----

def test_requests_a_minute(api):
    """The bucket is as deep as the limit; then 429 with the wait, in both vendors' spellings; the provider is not asked."""
    key, text = api.key(requests_per_minute=3)
    answers = [api.ask(text) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert [a.headers["x-ratelimit-remaining-requests"] for a in answers] == ["2", "1", "0", "0"]
    assert {a.headers["x-ratelimit-limit-requests"] for a in answers} == {"3"} and "x-ratelimit-limit-tokens" not in answers[0].headers
    refused = answers[3]
    assert 15 <= int(refused.headers["retry-after"]) <= 20 and refused.headers["x-ratelimit-reset-requests"].endswith("s")
    error = refused.json()["error"]
    assert error["type"] == "rate_limit_error" and error["origin"] == "router" and "3 requests a minute" in error["message"]
    assert "x-should-retry" not in refused.headers
    anthropic = api.gateway.post("/v1/messages", kit.messages(), headers={"x-api-key": text})
    assert anthropic.status_code == 429 and anthropic.json()["error"]["type"] == "rate_limit_error"
    assert anthropic.headers["anthropic-ratelimit-requests-limit"] == "3" and anthropic.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert len(api.gateway.access(5)) >= 5 and len([r for r in api.gateway.rows(5) if r["status"] == 200]) == 3
    api("POST", f"{KEYS}/{key}/limit", {"requests_per_minute": 0}, expect=204)
    free = api.ask(text)
    assert free.status_code == 200 and "x-ratelimit-limit-requests" not in free.headers


def test_tokens_a_minute(api):
    """What the answer really had counts; who took more than a minute's waits for the next."""
    _, text = api.key(tokens_per_minute=40)
    first = api.ask(text)
    assert first.status_code == 200 and first.json()["usage"]["total_tokens"] > 20
    second = api.ask(text)
    used = first.json()["usage"]["total_tokens"]
    if second.status_code == 200:
        used += second.json()["usage"]["total_tokens"]
        second = api.ask(text)
    assert second.status_code == 429 and "40 tokens a minute" in second.json()["error"]["message"] and used <= 120


@pytest.mark.parametrize("path,member", [(KEYS, None), (GROUPS, "group_id"), (PROJECTS, "project_id"), (USERS, "user_id"), (ORG, None)])
def test_requests_at_once(api, path, member):
    """max_in_flight of every kind of scope: one too many is 429 at once; whoever ends, however, makes room."""
    made = api.make(path) if member else None
    _, text = api.key(**({member: made["id"]} if member else {}))
    at = f"{path}/{made['id']}" if member else f"{KEYS}/{api('GET', KEYS + '/self', key=text).json()['id']}" if path == KEYS else ORG
    api("POST", at + "/limit", {"max_in_flight": 2}, expect=204)
    headers = {"Authorization": f"Bearer {text}"}
    slow = kit.chat("sim/gpt+events=100+gap=100", stream=True)
    running = [api.gateway.post("/v1/chat/completions", slow, headers=headers, stream=True) for _ in range(2)]
    assert [r.status_code for r in running] == [200, 200]
    refused = api.ask(text)
    assert refused.status_code == 429 and "at once" in refused.json()["error"]["message"] and refused.headers["retry-after"] == "1"
    running[0].close()
    kit.wait_until(lambda: api.ask(text).status_code == 200, "the first one's place is free")
    assert api.ask(text, "sim/nothing+status=500").status_code >= 400
    assert api.ask(text).status_code == 200
    running[1].close()


def test_day_and_week(api):
    """Limits of money by day and week hold beside the month's, and the refusal says which."""
    key, text = api.key()
    cost = round(api.ask(text).json()["usage"]["cost"] * NANO)
    for word, member in (("daily", "daily_limit"), ("weekly", "weekly_limit")):
        api("POST", f"{KEYS}/{key}/limit", {member: f"{cost / NANO:.9f}"}, expect=204)
        refused = api.ask(text)
        assert refused.status_code == 402 and f"its {word} limit" in refused.json()["error"]["message"]
        api("POST", f"{KEYS}/{key}/limit", {member: 0}, expect=204)
    api.gateway.stop()
    api.gateway.again()
    api("POST", f"{KEYS}/{key}/limit", {"daily_limit": f"{cost / NANO:.9f}"}, expect=204)
    assert api.ask(text).status_code == 402  # what was spent before the restart counts


def test_limits_are_shown_and_checked(api):
    """Every limit of a key and a group reads back; a wrong one is named."""
    wanted = {"monthly_limit": "5", "weekly_limit": "2.5", "daily_limit": "1", "requests_per_minute": 60, "tokens_per_minute": 90000, "max_in_flight": 10}
    group = api.make(GROUPS, **wanted)
    key, _ = api.key(**wanted)
    for shown in (group, api("GET", f"{KEYS}/{key}").json()):
        assert {k: shown[k] for k in wanted} == wanted
    for member, value in (("requests_per_minute", -1), ("tokens_per_minute", "many"), ("max_in_flight", 1.5), ("daily_limit", "-1"), ("colour", 1)):
        got = api("POST", f"{KEYS}/{key}/limit", {member: value})
        assert got.status_code == 400 and got.json()["error"]["param"] == member
    assert api("POST", f"{KEYS}/{key}/limit", {}).status_code == 400
