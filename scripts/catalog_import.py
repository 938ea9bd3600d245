# SPDX-License-Identifier: Apache-2.0
"""Makes catalog/models.json from public model facts: catalog_import.py FACTS.jsonl > catalog/models.json

FACTS has one JSON object a line, as models.dev describes a model (MIT licence): offered_by, id, name,
release_date, limit, cost in USD a million tokens, modalities and flags. catalog/README.md says what the result
means. What the facts lack or have wrong is put right by the tables below, not in the result.
"""
import datetime
import json
import sys
from decimal import Decimal

# Their name of a provider -> the prefix of its models with us.
PREFIXES = {
    "alibaba": "alibaba",
    "amazon-bedrock": "bedrock",
    "anthropic": "anthropic",
    "azure": "azure",
    "cohere": "cohere",
    "deepinfra": "deepinfra",
    "deepseek": "deepseek",
    "fireworks-ai": "fireworks",
    "google": "google",
    "google-vertex": "vertex",
    "groq": "groq",
    "minimax": "minimaxi",
    "mistral": "mistral",
    "moonshotai": "moonshot",
    "nebius": "nebius",
    "novita-ai": "novita",
    "openai": "openai",
    "perplexity": "perplexity",
    "scaleway": "scaleway",
    "togetherai": "together",
    "xai": "xai",
}
REGIONS = {"scaleway": "eu", "mistral": "eu"}
BEDROCK_REGIONS = {"us": "us", "eu": "eu", "apac": "ap", "jp": "ap", "au": "ap"}
RETAINS = {"openai", "anthropic"}

GEMINI_2_5 = {
    "release_date": "2025-06-17",
    "limit": {"context": 1048576, "output": 65536},
    "modalities": {"input": ["text", "image", "audio", "video", "pdf"], "output": ["text"]},
    "reasoning": True,
    "tool_call": True,
    "structured_output": True,
}
FIXES = {
    "scaleway/qwen3-embedding-8b": {"release_date": "2025-11-25"},
    "openai/gpt-5": {
        "name": "GPT-5",
        "release_date": "2025-08-07",
        "limit": {"context": 400000, "output": 128000},
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "reasoning": True,
        "tool_call": True,
        "structured_output": True,
    },
    "groq/openai/gpt-oss-120b": {
        "name": "GPT OSS 120B",
        "release_date": "2025-08-05",
        "limit": {"context": 131072, "output": 65536},
        "modalities": {"input": ["text"], "output": ["text"]},
        "reasoning": True,
        "tool_call": True,
    },
    "google/gemini-2.5-pro": {"name": "Gemini 2.5 Pro", **GEMINI_2_5},
    "google/gemini-2.5-flash": {"name": "Gemini 2.5 Flash", **GEMINI_2_5},
}
NO_CHAT = ("whisper", "tts", "transcribe", "realtime")

DEVELOPER = ("gpt-4o", "gpt-4.1", "gpt-5", "o1", "o3", "o4")
CLAUDE_SCHEMA = ("opus-4-1", "opus-4-5", "opus-4-6", "opus-4-7", "opus-4-8", "sonnet-4-5", "sonnet-4-6",
                 "sonnet-5", "haiku-4-5", "fable")

SIMULATOR = [
    {
        "id": f"sim/{name}",
        "name": f"Simulator: {name}",
        "description": "Answers of `sluice sim`, with made-up prices. No provider behind it.",
        "created": 1767225600,
        "context_window": 131072,
        "max_output": 16384,
        "can": ["cache", "tools", "json_object", "json_schema", "developer"],
        "price": [{"input": "0.1", "output": "0.4", "cache_read": "0.01", "cache_write_5m": "0.125",
                   "cache_write_1h": "0.2"}],
    }
    for name in ("claude", "echo", "gpt")
]
SIMULATOR.append({
    "id": "sim/embed",
    "api": "embedding",
    "name": "Simulator: embed",
    "description": "Embeddings of `sluice sim`, with made-up prices. No provider behind it.",
    "created": 1767225600,
    "context_window": 8192,
    "price": [{"input": "0.02", "output": "0"}],
})

# The facts have no prices by the hour or by the character: these are the makers' price lists.
MEDIA = [
    {"id": "groq/whisper-large-v3", "api": "transcription", "name": "Whisper", "created": 1693526400,
     "price": [{"sound_hour": "0.111"}]},
    {"id": "groq/whisper-large-v3-turbo", "api": "transcription", "name": "Whisper Large V3 Turbo",
     "created": 1727740800, "price": [{"sound_hour": "0.04"}]},
    {"id": "openai/gpt-4o-mini-transcribe", "api": "transcription", "name": "GPT-4o mini Transcribe",
     "created": 1742428800, "context_window": 16000, "data_retention": True,
     "price": [{"input": "1.25", "output": "5", "cache_read": "1.25", "input_audio": "3"}]},
    {"id": "openai/gpt-4o-mini-tts", "api": "speech", "name": "GPT-4o mini TTS", "created": 1742428800,
     "data_retention": True, "price": [{"input": "0.6", "output": "12"}]},
    {"id": "openai/gpt-4o-transcribe", "api": "transcription", "name": "GPT-4o Transcribe", "created": 1742428800,
     "context_window": 16000, "data_retention": True,
     "price": [{"input": "2.5", "output": "10", "cache_read": "2.5", "input_audio": "6"}]},
    {"id": "openai/tts-1", "api": "speech", "name": "TTS-1", "created": 1699228800, "data_retention": True,
     "price": [{"characters": "15"}]},
    {"id": "openai/tts-1-hd", "api": "speech", "name": "TTS-1 HD", "created": 1699228800, "data_retention": True,
     "price": [{"characters": "30"}]},
    {"id": "openai/whisper-1", "api": "transcription", "name": "Whisper", "created": 1677628800,
     "data_retention": True, "price": [{"sound_hour": "0.36"}]},
]


def decimal(value) -> Decimal:
    return Decimal(str(value))


def text(value: Decimal) -> str:
    out = format(value.quantize(Decimal("0.000000001")).normalize(), "f")
    return out if "." not in out else out.rstrip("0").rstrip(".")


def is_claude(model: dict) -> bool:
    return "claude" in model["id"]


def price_row(model: dict, cost: dict, above: int) -> dict:
    given = decimal(cost["input"])
    row = {"input": given, "output": decimal(cost["output"])}
    if api_of(model) == "embedding":
        return {k: text(v) for k, v in row.items()}
    # Without a discount that we know of, cached tokens cost what others do.
    read = decimal(cost.get("cache_read") or 0)
    write = decimal(cost.get("cache_write") or 0)
    row["cache_read"] = read if 0 < read <= given else given
    row["cache_write_5m"] = write if write > 0 else given
    if is_claude(model) and write > 0:
        row["cache_write_1h"] = 2 * given
    for kind in ("input_audio", "output_audio"):
        if cost.get(kind) is not None:
            row[kind] = decimal(cost[kind])
    row = {k: text(v) for k, v in row.items()}
    return {"above": above, **row} if above else row


def prices(model: dict) -> list:
    cost = model["cost"]
    rows = [price_row(model, cost, 0)]
    for tier in sorted(cost.get("tiers") or [], key=lambda t: t["tier"]["size"]):
        merged = {**cost, **{k: v for k, v in tier.items() if k != "tier"}}
        rows.append(price_row(model, merged, tier["tier"]["size"]))
    return rows[:4]


def abilities(prefix: str, model: dict) -> list:
    into = (model.get("modalities") or {}).get("input") or []
    out = (model.get("modalities") or {}).get("output") or []
    bare = model["id"].split("/")[-1]
    schema = bool(model.get("structured_output"))
    claude_schema = is_claude(model) and any(part in model["id"] for part in CLAUDE_SCHEMA)
    flags = {
        "cache": bool(model["cost"].get("cache_read")),
        "see": "image" in into,
        "tools": bool(model.get("tool_call")),
        "reason": bool(model.get("reasoning")),
        "computer": is_claude(model),
        "search": (prefix == "anthropic") or (prefix == "perplexity")
        or (prefix in ("google", "vertex") and "gemini" in bare),
        "images": "image" in out,
        "json_object": schema and not is_claude(model),
        "json_schema": schema or claude_schema,
        "developer": prefix in ("openai", "azure") and bare.startswith(DEVELOPER),
    }
    return [name for name, has in flags.items() if has]


def seconds(date: str) -> int:
    # Some say only year and month.
    parts = [int(p) for p in date.split("-")] + [1, 1]
    return int(datetime.datetime(*parts[:3], tzinfo=datetime.timezone.utc).timestamp())


def api_of(model: dict) -> str:
    name = model["id"].lower()
    if "embed" in name or name.startswith("bge-"):
        return "embedding"
    window = (model.get("limit") or {}).get("context")
    return "image" if "image" in model["id"] and not window else "chat"


def is_wanted(model: dict) -> bool:
    cost = model.get("cost") or {}
    out = (model.get("modalities") or {}).get("output") or ["text"]
    if model.get("status") == "deprecated" or cost.get("input") is None:
        return False
    if any(word in model["id"] for word in NO_CHAT):
        return False
    # The form has one price for all output and none for a request: such models would cost too little.
    if cost.get("request") or cost.get("reasoning", cost["output"]) != cost["output"]:
        return False
    return "text" in out or "image" in out


def entry(prefix: str, model: dict) -> dict:
    limit = model.get("limit") or {}
    region = REGIONS.get(prefix, "global")
    if prefix == "bedrock":
        region = BEDROCK_REGIONS.get(model["id"].split(".")[0], "global")
    api = api_of(model)
    made = {"id": f"{prefix}/{model['id']}"}
    if api != "chat":
        made["api"] = api
    if model.get("name"):
        made["name"] = model["name"]
    if model.get("release_date"):
        made["created"] = seconds(model["release_date"])
    if limit.get("context"):
        made["context_window"] = limit["context"]
    if api == "chat" and limit.get("output"):
        made["max_output"] = min(limit["output"], limit.get("context") or limit["output"])
    can = abilities(prefix, model)
    if api == "chat" and can:
        made["can"] = can
    if region != "global":
        made["geolocation"] = region
    if prefix in RETAINS:
        made["data_retention"] = True
    made["price"] = prices(model)
    return made


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    rows = [r for r in rows if r["kind"] == "model" and r["offered_by"] in PREFIXES]
    for row in rows:
        row.update(FIXES.get(f"{PREFIXES[row['offered_by']]}/{row['id']}", {}))
    by_id = {f"{r['offered_by']}/{r['id']}": r for r in rows}
    made = {m["id"]: m for m in SIMULATOR + MEDIA}
    for row in rows:
        prefix = PREFIXES[row["offered_by"]]
        base = by_id.get(row.get("base_model") or "", {})
        model = {**base, **row, "limit": {**(base.get("limit") or {}), **(row.get("limit") or {})}}
        if is_wanted(model):
            made[f"{prefix}/{model['id']}"] = entry(prefix, model)
    lines = [json.dumps(made[i], ensure_ascii=False, separators=(",", ":")) for i in sorted(made)]
    print('{"models":[\n' + ",\n".join(lines) + "\n]}")


main()
