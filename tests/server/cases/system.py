"""Health, metrics, the OpenAPI file, and what keeps strangers out."""

import json
import shutil
import socket
import subprocess
import time

import harness
from harness import contains, equal


def make_server(room):
    return room.server(models=[room.tiny()])


def raw(server, text):
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(text.encode())
        data = b""
        while part := connection.recv(65536):
            data += part
    return data.decode()


def test_health_tells_what_there_is_to_do(server):
    equal(server.get("/health").json()["status"], "ok")


def test_metrics_count_what_was_served(server):
    server.good("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}],
                                         "max_tokens": 3, "logit_bias": {"0": -100}})
    text = server.get("/metrics").body.decode()
    contains(text, 'minke_http_requests_total{route="/v1/chat/completions",status="200"} 1')
    contains(text, 'minke_answers_total{end="answered"} 1')
    assert float(text.split("\nminke_answer_tokens_total ")[1].split()[0]) > 0


def test_promtool_takes_the_metrics(server):
    fetched = harness.SOURCE / "build/sdk-prometheus/usr/bin/promtool"
    promtool = shutil.which("promtool") or (str(fetched) if fetched.exists() else None)
    if promtool is None:
        raise harness.Skip("needs promtool (tools/fetch_sdk_clients.sh, or Debian's prometheus)")
    text = server.get("/metrics").body
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True,
                            check=False)
    equal((result.returncode, result.stdout + result.stderr), (0, b""))


def test_every_route_is_described(server):
    api = server.get("/openapi.json").json()
    equal(api["openapi"], "3.1.0")
    contains(api["paths"], "/v1/chat/completions")
    names = [operation["operationId"] for path in api["paths"].values()
             for operation in path.values()]
    equal(len(names), len(set(names)), "operation ids, each once")
    text = json.dumps(api)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        contains(api["components"]["schemas"], part.split('"')[0])


def test_another_name_for_this_machine_is_no_way_in(server):
    answer = raw(server, "GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    contains(answer, "HTTP/1.1 421")


def test_a_page_of_another_site_is_refused(server):
    answer = server.post("/v1/chat/completions", {"messages": []},
                         headers={"Origin": "https://evil.example"})
    equal(answer.status, 403)
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_without_a_known_end_is_no_second_request(server):
    answer = raw(server, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                         "Transfer-Encoding: gzip\r\n\r\n"
                         "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    contains(answer, "HTTP/1.1 501")
    equal(answer.count("HTTP/1.1 "), 1, answer)


def test_what_a_foreign_page_embeds_gets_nothing_of_the_app(server):
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200),
                         ("none", 200)):
        equal(server.get("/app/v1/backup", headers={"Sec-Fetch-Site": site}).status, status, site)
    equal(server.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status, 200, "a link to it")


def test_a_too_long_message_is_told_the_same_everywhere(server):
    wrong = (("/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 5000}]}),
             ("/v1/embeddings", {"input": "word " * 5000}))
    for path, body in wrong:
        answer = server.post(path, body)
        equal(answer.status, 400)
        message = answer.json()["error"]["message"]
        contains(message, "shorten it; the model has no longer context")
        assert "--ctx" not in message, message


def test_without_a_host_it_is_said_so(server):
    contains(raw(server, "GET /health HTTP/1.0\r\n\r\n"), "no Host header")


def test_a_refusal_calls_the_model_by_its_served_name(server):
    answer = server.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]})
    equal(answer.status, 400)
    contains(answer.json()["error"]["message"], "tiny-qwen2 cannot be given tools")


def test_no_path_leads_out_of_the_program(server):
    for path in ("/../etc/passwd", "/assets/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
                 "/assets/%2e%2e%2fsecret", "//etc/passwd", "/v1/models/../../etc/passwd",
                 "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd"):
        answer = raw(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        contains(answer, "HTTP/1.1 404")
        assert "root:" not in answer


def test_integers_do_not_turn_negative(server):
    for field, value in (("max_tokens", -1), ("max_tokens", 2**63), ("n", 2**40), ("n", -1),
                         ("top_k", -5), ("seed", 2**70), ("top_logprobs", 2**31)):
        answer = server.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "x"}], field: value})
        equal(answer.status, 400, field)
        error = answer.json()["error"]
        contains(error["message"], field if value != 2**70 else "")
        equal(error["type"], "invalid_request_error")


def test_what_is_no_request_does_not_spoil_the_metrics(server):
    for text in ("NONSENSE\r\n\r\n",
                 "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"):
        answer = raw(server, text)
        contains(answer, "HTTP/1.1 400")
        contains(answer, "X-Request-Id: ")
    text = server.get("/metrics").body.decode()
    spent = text.split('minke_http_request_seconds_sum{route="none"} ')[1].split()[0]
    assert float(spent) < 60, spent


def test_any_stated_length_is_answered(server):
    for length in (33554433, 5 * 10 ** 10, 10 ** 12, 2 ** 63 - 1):
        answer = raw(server, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                             f"Content-Length: {length}\r\n\r\n{{}}")
        contains(answer, "HTTP/1.1 413")
        contains(answer, '"type":"request_too_large"')


def test_a_request_has_one_host(server):
    contains(raw(server, "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"
                         "Connection: close\r\n\r\n"), "HTTP/1.1 400")


def test_the_app_s_files_are_one_route_of_the_metrics(server):
    server.get("/")
    text = server.get("/metrics").body.decode()
    contains(text, 'minke_http_requests_total{route="files",status="200"}')
    assert 'route="/"' not in text and 'route="/assets' not in text


def test_models_are_refused_in_the_shape_of_whose_client_asks(server):
    missing = server.get("/v1/models/none-such")
    equal((missing.status, missing.json()["error"]["code"]), (404, "model_not_found"))
    other = server.get("/v1/models/none-such", headers={"anthropic-version": "2023-06-01"})
    equal((other.status, other.json()["type"], other.json()["error"]["type"]),
          (404, "error", "not_found_error"))


def test_deep_and_malformed_bodies_are_refused(server):
    for body in ("[" * 10_000, '{"a":' * 5000, "{", "\xff", '{"messages": [{"role": "user"'):
        equal(server.post("/v1/chat/completions", body.encode("latin-1")).status, 400, body[:10])


def test_a_long_run_of_one_character_takes_linear_time(server):
    begin = time.monotonic()
    answer = server.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "a" * (16 << 20)}]})
    equal(answer.status, 400)
    contains(answer.json()["error"]["code"], "context_length_exceeded")
    assert time.monotonic() - begin < 30


def test_errors_carry_no_addresses(server):
    for body in ({}, {"messages": "x"}, {"messages": [{"role": "x", "content": 1}]}):
        text = server.post("/v1/chat/completions", body).body.decode()
        assert "0x" not in text and "/home" not in text and "/root" not in text, text


def test_the_page_may_load_nothing_from_elsewhere(server):
    answer = server.get("/")
    equal(answer.status, 200)
    policy = answer.headers["content-security-policy"]
    contains(policy, "default-src 'self'")
    assert "unsafe" not in policy and "http:" not in policy and "*" not in policy
    equal(answer.headers["x-content-type-options"], "nosniff")


def test_a_client_that_goes_frees_its_slot(server):
    connection, answer = server.begin("/v1/chat/completions", {
        "messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 1500,
        "logit_bias": {"0": -100, "1": -100, "2": -100}})
    answer.read(10)
    running = server.running()
    connection.close()
    answer.close()
    begin = time.monotonic()
    while server.running():
        assert time.monotonic() - begin < 5
        time.sleep(0.01)
    assert time.monotonic() - begin < 1, (running, time.monotonic() - begin)
