"""A server with API keys, in every dialect."""

import harness
from harness import contains, equal

ANNA, BERT = "anna-secret", "bert-secret"


def make_server(room):
    path = room.folder / "keys.txt"
    path.write_text(f"{ANNA}\n{BERT}\n")
    return room.server(models=[room.tiny()], template=harness.TEMPLATE,
                       options=["--api-key-file", path])


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


BODIES = (
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2}),
    ("/v1/completions", {"prompt": "a", "max_tokens": 2}),
    ("/v1/responses", {"input": "a", "max_output_tokens": 2}),
    ("/v1/messages", {"model": "tiny-qwen2", "max_tokens": 2,
                      "messages": [{"role": "user", "content": "a"}]}),
    ("/api/chat", {"model": "tiny-qwen2", "stream": False, "options": {"num_predict": 2},
                   "messages": [{"role": "user", "content": "a"}]}),
    ("/api/pull", {"model": "none-such:1b"}),
)


def test_without_a_key_each_dialect_refuses_in_its_own_shape(server):
    for path, body in BODIES:
        for headers in ({}, bearer("guess")):
            answer = server.post(path, body, headers=headers)
            equal(answer.status, 401, path)
            error = answer.json()["error"]
            contains(error if isinstance(error, str) else error["message"], "API key")
            if path == "/v1/messages":
                equal(error["type"], "authentication_error")
    for path in ("/api/tags", "/api/ps", "/api/version", "/v1/models", "/v1/responses/resp_1"):
        equal(server.get(path).status, 401, path)


def test_keys_come_in_either_header(server):
    for path, body in BODIES[:-1]:
        server.good(path, body, headers=bearer(ANNA))
        server.good(path, body, headers={"x-api-key": BERT})


def test_responses_of_one_key_are_not_another_s(server):
    kept = server.good("/v1/responses", BODIES[2][1], headers=bearer(ANNA))
    path = f"/v1/responses/{kept['id']}"
    equal(server.get(path, headers=bearer(ANNA)).status, 200)
    for method, more in (("GET", ""), ("GET", "/input_items"), ("POST", "/cancel"), ("DELETE", "")):
        equal(server.ask(method, path + more, headers=bearer(BERT)).status, 404, method + more)
    for body in ({"previous_response_id": kept["id"], "input": "b"},
                 {"input": [{"type": "item_reference", "id": kept["output"][0]["id"]},
                            {"role": "user", "content": "b"}]}):
        equal(server.post("/v1/responses", body, headers=bearer(BERT)).status, 400)
        server.good("/v1/responses", body | {"max_output_tokens": 2}, headers=bearer(ANNA))
