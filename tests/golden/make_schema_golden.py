#!/usr/bin/env python3
"""Writes tests/golden/schema/random.jsonl: random JSON schemas of the part that minke reads, each with
values that are right and values that are wrong by the Python package jsonschema (draft 2020-12).

    pip install jsonschema
    python3 tests/golden/make_schema_golden.py

A line is {"schema":…, "right":[text,…], "wrong":[text,…]}. The texts are written in minke's canonical
form: properties in the order of the schema, no needless spaces or escapes.
"""

import json
import pathlib
import random

import jsonschema

OUT = pathlib.Path(__file__).resolve().parent / "schema/random.jsonl"
NAMES = ["a", "b", "name", "é", "x y", "ab", "n1"]
WORDS = ["", "a", "ab", "abc", "é", "漢字", "hello world", "q\"uote", "back\\slash", "line\nend", "A1", "42"]
PATTERNS = ["^[a-c]+$", "^\\d{2,3}$", "^(ab|c)*$", "^[A-Z]\\d$", "b"]


def number(rng):
    return rng.choice([0, 1, -1, 2, 3, 5, 7, 10, 12, 99, 100, -12, 0.5, -0.25, 1.5, 3.75, 42])


def string_schema(rng):
    schema = {"type": "string"}
    kind = rng.randrange(4)
    if kind == 0:
        low = rng.randrange(4)
        schema["minLength"] = low
        if rng.random() < 0.7:
            schema["maxLength"] = low + rng.randrange(5)
    elif kind == 1:
        schema["pattern"] = rng.choice(PATTERNS)
    return schema


def number_schema(rng):
    schema = {"type": rng.choice(["integer", "number", "number"])}
    low, high = sorted([number(rng), number(rng)])
    if rng.random() < 0.6:
        schema[rng.choice(["minimum", "exclusiveMinimum"])] = low
    if rng.random() < 0.6:
        schema[rng.choice(["maximum", "exclusiveMaximum"])] = high + rng.choice([0, 1, 0.5])
    return schema


def object_schema(rng, depth):
    names = rng.sample(NAMES, rng.randrange(1, 5))
    schema = {"type": "object", "properties": {n: any_schema(rng, depth - 1) for n in names}}
    schema["required"] = [n for n in names if rng.random() < 0.5]
    more = rng.randrange(3)
    if more == 0:
        schema["additionalProperties"] = False
    elif more == 1:
        schema["additionalProperties"] = any_schema(rng, depth - 1)
    return schema


def array_schema(rng, depth):
    schema = {"type": "array"}
    if rng.random() < 0.3:
        schema["prefixItems"] = [any_schema(rng, depth - 1) for _ in range(rng.randrange(1, 3))]
    if rng.random() < 0.8:
        schema["items"] = any_schema(rng, depth - 1)
    if rng.random() < 0.5:
        schema["minItems"] = rng.randrange(3)
    if rng.random() < 0.5:
        schema["maxItems"] = schema.get("minItems", 0) + rng.randrange(3)
    return schema


def any_schema(rng, depth):
    kind = rng.randrange(10 if depth > 0 else 5)
    if kind == 0:
        return {"type": rng.choice(["null", "boolean", ["string", "null"], ["integer", "boolean"]])}
    if kind == 1:
        return {"enum": rng.sample(WORDS + [1, 2.5, None, True, [], {"k": 1}], 3)}
    if kind == 2:
        return number_schema(rng)
    if kind in (3, 4):
        return string_schema(rng)
    if kind in (5, 6):
        return object_schema(rng, depth)
    if kind == 7:
        return array_schema(rng, depth)
    if kind == 8:
        return {"anyOf": [any_schema(rng, depth - 1) for _ in range(rng.randrange(2, 4))]}
    other = object_schema(rng, depth)
    other.pop("additionalProperties", None)
    return {"allOf": [object_schema(rng, depth), other]} if rng.random() < 0.5 else {
        "$ref": "#/$defs/d", "description": "by reference"}


def plain_value(rng, depth):
    kind = rng.randrange(7 if depth > 0 else 5)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return number(rng)
    if kind in (3, 4):
        return rng.choice(WORDS)
    if kind == 5:
        return [plain_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return {rng.choice(NAMES): plain_value(rng, depth - 1) for _ in range(rng.randrange(3))}


def value_for(rng, schema, root, depth):
    """A value that has a chance of being right."""
    if depth < 0 or rng.random() < 0.08 or not isinstance(schema, dict):
        return plain_value(rng, 1)
    if "$ref" in schema:
        return value_for(rng, root["$defs"]["d"], root, depth - 1)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return value_for(rng, rng.choice(schema["anyOf"]), root, depth)
    if "allOf" in schema:
        out = {}
        for part in schema["allOf"]:
            value = value_for(rng, part, root, depth)
            if isinstance(value, dict):
                out |= value
        return out
    kind = schema.get("type")
    kind = rng.choice(kind) if isinstance(kind, list) else kind
    if kind == "object":
        out = {}
        for name, part in schema.get("properties", {}).items():
            if name in schema.get("required", []) or rng.random() < 0.5:
                out[name] = value_for(rng, part, root, depth - 1)
        if rng.random() < 0.2:
            out.setdefault(rng.choice(NAMES), plain_value(rng, 1))
        return out
    if kind == "array":
        prefix = schema.get("prefixItems", [])
        count = rng.randrange(schema.get("minItems", 0), schema.get("minItems", 0) + 4)
        return [value_for(rng, prefix[i] if i < len(prefix) else schema.get("items", True), root,
                          depth - 1) for i in range(count)]
    if kind == "string":
        pattern = schema.get("pattern")
        fits = {PATTERNS[0]: "abc", PATTERNS[1]: "123", PATTERNS[2]: "abcab", PATTERNS[3]: "Q7",
                PATTERNS[4]: "abc"}
        return rng.choice([fits[pattern], rng.choice(WORDS)]) if pattern else rng.choice(WORDS)
    if kind == "integer":
        return int(number(rng))
    if kind == "number":
        return number(rng)
    return {"null": None, "boolean": rng.random() < 0.5}.get(kind, plain_value(rng, 1))


def property_order(schema, root, seen=()):
    """The names of a schema's properties in the order in which minke meets them."""
    names, required = [], []

    def visit(part):
        if not isinstance(part, dict) or id(part) in done:
            return
        done.add(id(part))
        todo = []
        for keyword, value in part.items():
            if keyword == "$ref":
                todo.append(root["$defs"]["d"])
            elif keyword == "allOf":
                todo.extend(value)
        names.extend(part.get("properties", {}))
        required.extend(part.get("required", []))
        queue.extend(todo)

    done, queue = set(), [schema]
    while queue:
        visit(queue.pop(0))
    return list(dict.fromkeys(names + required))


def parts_for(schema, root, name):
    """The schemas of one property."""
    out, queue, done = [], [schema], set()
    while queue:
        part = queue.pop(0)
        if not isinstance(part, dict) or id(part) in done:
            continue
        done.add(id(part))
        if "$ref" in part:
            queue.append(root["$defs"]["d"])
        queue.extend(part.get("allOf", []))
        if name in part.get("properties", {}):
            out.append(part["properties"][name])
    return out


def ordered(value, schemas, root):
    """The value with its properties in canonical order; None where anyOf makes that depend."""
    if isinstance(value, list):
        return value if not any(isinstance(v, dict) and len(v) > 1 for v in value) else None
    if not isinstance(value, dict):
        return value
    for schema in schemas:
        if isinstance(schema, dict) and ("anyOf" in schema or "enum" in schema) and len(value) > 1:
            return None
    names = []
    for schema in schemas:
        names += property_order(schema, root)
    out = {}
    for name in list(dict.fromkeys(names)) + list(value):
        if name in value and name not in out:
            parts = [p for s in schemas for p in parts_for(s, root, name)]
            inner = ordered(value[name], parts, root)
            if inner is None and value[name] is not None:
                return None
            out[name] = inner
    return out


def strict(schema):
    """The schema without what minke's canonical form leaves out."""
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)
    for keyword in ("items", "additionalProperties"):
        if keyword in out:
            out[keyword] = strict(out[keyword])
    for keyword in ("properties", "$defs"):
        if keyword in out:
            out[keyword] = {name: strict(part) for name, part in out[keyword].items()}
    for keyword in ("prefixItems", "anyOf"):
        if keyword in out:
            out[keyword] = [strict(part) for part in out[keyword]]
    if "properties" in out and "additionalProperties" not in out:
        out["additionalProperties"] = False
    if "prefixItems" in out and "items" not in out:
        out["maxItems"] = min(out.get("maxItems", 99), max(len(out["prefixItems"]), out.get("minItems", 0)))
    if "allOf" in out:
        parts = [dict(part, properties={n: strict(p) for n, p in part["properties"].items()})
                 for part in out["allOf"]]
        out["allOf"] = parts
        if not any("additionalProperties" in part for part in parts):
            out["unevaluatedProperties"] = False
    return out


def main():
    rng = random.Random(20261127)
    lines = []
    while len(lines) < 300:
        schema = any_schema(rng, 2)
        schema["$defs"] = {"d": rng.choice([string_schema(rng), number_schema(rng),
                                            {"type": "array", "items": string_schema(rng)}])}
        validator = jsonschema.Draft202012Validator(schema)
        strict_validator = jsonschema.Draft202012Validator(strict(schema))
        right, wrong = [], []
        for _ in range(40):
            value = value_for(rng, schema, schema, 3)
            ordered_value = ordered(value, [schema], schema)
            if ordered_value is None and value is not None:
                continue
            text = json.dumps(ordered_value, ensure_ascii=False, separators=(",", ":"))
            place = right if validator.is_valid(ordered_value) else wrong
            is_canonical = place is wrong or strict_validator.is_valid(ordered_value)
            if is_canonical and text not in place:
                place.append(text)
        if right or wrong:
            lines.append({"schema": schema, "right": right[:8], "wrong": wrong[:8]})
    OUT.parent.mkdir(exist_ok=True)
    with OUT.open("w") as out:
        for line in lines:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
    print(len(lines), "schemas,", sum(len(x["right"]) for x in lines), "right,",
          sum(len(x["wrong"]) for x in lines), "wrong")


if __name__ == "__main__":
    main()
