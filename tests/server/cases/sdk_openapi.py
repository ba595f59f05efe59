"""/openapi.json: what OpenAPI 3.1 says of such files, and what the server does. schemathesis makes
requests from it and holds the answers to it: no fault of the server's, no answer that its description
does not have."""

import subprocess

import harness

LINTER = harness.SOURCE / "build/sdk-venv/bin/openapi-spec-validator"
PROGRAM = harness.SOURCE / "build/sdk-venv/bin/st"
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance",
          "response_schema_conformance")
EXAMPLES_MAX = 5
SECONDS_MAX = 400


def make_server(room):
    if not PROGRAM.exists():
        raise harness.Skip("schemathesis is not here (tools/fetch_sdk_clients.sh)")
    # A small context: an answer that nothing ends ends there.
    return room.server(models=[room.tiny()], template=harness.TEMPLATE, options=["--ctx", "256"])


def test_the_file_is_one_of_openapi(server):
    if not LINTER.exists():
        raise harness.Skip("openapi-spec-validator is not here (tools/fetch_sdk_clients.sh)")
    done = subprocess.run([LINTER, "--schema", "3.1", "-"], input=server.get("/openapi.json").body,
                          capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-3000:]


def test_answers_match_their_descriptions(server):
    done = subprocess.run(
        [PROGRAM, "--no-color", "run", server.url + "/openapi.json", "--checks", ",".join(CHECKS),
         "--max-examples", str(EXAMPLES_MAX), "--phases", "examples,fuzzing",
         "--exclude-path", "/api/pull", "--seed", "1", "--generation-database", "none",
         "--request-timeout", "30", "--max-time", "60", "--warnings", "off", "--no-shrink"],
        capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
        cwd=server.folder.name)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    assert server.get("/health").status == 200
