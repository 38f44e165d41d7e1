"""What no schema can say of a valid request. Invalid requests are sent as they were made up."""

import schemathesis
from schemathesis import GenerationMode


@schemathesis.hook
def map_case(context, case):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return case
    if case.operation.label == "GET /tasks":
        listing(case.query)
    if case.operation.label == "POST /tasks" and isinstance(case.body, dict):
        for entry in case.body.get("inputs") or []:
            source(entry)
    return case


def listing(query):
    """Only the server makes tokens, and they fit one listing (TES contract 8.1); a value belongs to a key (8.6)."""
    if not query:
        return
    query.pop("page_token", None)
    keys, values = query.get("tag_key"), query.get("tag_value")
    if isinstance(values, list):
        query["tag_value"] = values[: len(keys) if isinstance(keys, list) else 0]


def source(entry):
    """Content makes a FILE (TES contract 9.1); GA4GH's document lets DIRECTORY stand beside it."""
    if entry.get("content") and entry.get("type") == "DIRECTORY":
        del entry["type"]
