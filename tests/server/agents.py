#!/usr/bin/env python3
"""Has coding agents of npm do a small task with a model that `minke serve` answers for.

    tests/server/agents.py MINKE MODEL [codex] [opencode] [--free] [--agents FOLDER]

FOLDER is where `npm install @openai/codex opencode-ai` was run (build/agents). The task is to write
a file. The agents are unmodified, and know nothing but the server's address; what the model writes
is forced, step by step, by a proxy of ours that adds a response format to their requests, so that
every model can do it and the whole way there and back is tested: prompt, tools, calls, their
results, the end. With --free the model is left alone, which only a good one stands. Run by name:
the agents are large, and so are their prompts (some 10,000 tokens). Prints the counts as its last
line.
"""

import argparse
import http.client
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

import harness

WORD = "whale"
TASK = f"Write a file answer.txt that holds the word {WORD}, and nothing else."
SECONDS_MAX = 900


class Script:
    """What the model writes: a call of the agent's tool that runs a command, then a sentence."""

    def __init__(self, tool, arguments):
        call = json.dumps({"name": tool, "arguments": arguments})
        self.texts = [f"I write it. <tool_call>\n{call}\n</tool_call>", "The file is written."]
        self.tool = tool

    def form(self, body):
        """The next step's; none for requests that are not about the task (titles and the like)."""
        names = [tool.get("name") or tool.get("function", {}).get("name")
                 for tool in body.get("tools", [])]
        if self.tool not in names:
            return harness.forced("A file is written")
        answered = json.dumps(body).count('"function_call_output"') + json.dumps(body).count(
            '"role": "tool"')
        return harness.forced(self.texts[min(answered, 1)])


class Proxy(http.server.ThreadingHTTPServer):
    """Hands on to the server, with the script's format added."""

    daemon_threads = True

    def __init__(self, server, script):
        super().__init__(("127.0.0.1", 0), Handler)
        self.server_port_behind, self.script, self.log = server.port, script, []
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if body and self.server.script:
            fields = json.loads(body)
            form = self.server.script.form(fields)
            if self.path.endswith("/responses"):
                fields |= {"text": {"format": form}, "think": False}
            else:
                fields |= {"response_format": form, "think": False}
            body = json.dumps(fields).encode()
        behind = http.client.HTTPConnection("127.0.0.1", self.server.server_port_behind,
                                            timeout=SECONDS_MAX)
        kept = {"content-type", "accept", "authorization", "user-agent"}
        headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
        behind.request(self.command, self.path, body or None, headers)
        answer = behind.getresponse()
        self.server.log.append(f"{self.command} {self.path}: {answer.status}")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.getheader("content-type", "text/plain"))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        while piece := answer.read1(65536):
            self.wfile.write(piece)
            self.wfile.flush()
        behind.close()

    do_GET = do_POST

    def log_message(self, *_):
        pass


def codex(folder, home, url, model):
    provider = (f'model_providers.minke={{name="minke",base_url="{url}/v1",wire_api="responses",'
                "request_max_retries=0,stream_max_retries=0,stream_idle_timeout_ms=600000}")
    return (["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
             "-c", "model_provider=minke", "-c", provider, "-m", model, TASK],
            {"CODEX_HOME": str(home)},
            Script("exec_command", {"cmd": f"echo {WORD} > {folder}/answer.txt"}))


def opencode(folder, home, url, model):
    config = {"model": f"minke/{model}", "small_model": f"minke/{model}",
              "autoupdate": False, "share": "disabled",
              "permission": {"bash": "allow", "edit": "allow"},
              "provider": {"minke": {"npm": "@ai-sdk/openai-compatible", "name": "minke",
                                     "options": {"baseURL": f"{url}/v1", "apiKey": "none"},
                                     "models": {model: {"name": model, "tool_call": True}}}}}
    path = home / "opencode.json"
    path.write_text(json.dumps(config))
    return (["opencode", "run", "--model", f"minke/{model}", TASK],
            {"OPENCODE_CONFIG": str(path), "OPENCODE_DISABLE_AUTOUPDATE": "1",
             "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_LSP_DOWNLOAD": "1"},
            Script("bash", {"command": f"echo {WORD} > {folder}/answer.txt",
                            "description": "Writes the file"}))


def run(agent, server, model, programs, is_free):
    """What was wrong; None where the task was done."""
    with tempfile.TemporaryDirectory(prefix="minke-agent-") as base:
        folder, home = pathlib.Path(base, "work"), pathlib.Path(base, "home")
        folder.mkdir()
        home.mkdir()
        proxy = Proxy(server, None)
        command, environment, script = agent(folder, home, proxy.url, model)
        proxy.script = None if is_free else script
        program = programs / command[0]
        if not program.exists():
            return f"{program} is not there"
        try:
            done = subprocess.run([program, *command[1:]], cwd=folder, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=SECONDS_MAX, check=False,
                                  env=os.environ | environment | {
                                      "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"),
                                      "XDG_DATA_HOME": str(home / "data"),
                                      "XDG_CACHE_HOME": str(home / "cache")})
            output = done.stdout
        except subprocess.TimeoutExpired as late:
            output = f"no end within {SECONDS_MAX} s: {(late.stdout or b'')[-3000:]}"
        proxy.shutdown()
        print(f"{agent.__name__}: requests: {'; '.join(proxy.log)}")
        written = folder / "answer.txt"
        if not written.exists():
            return f"no answer.txt; the agent said:\n{output[-3000:]}"
        if written.read_text().strip() != WORD:
            return f"answer.txt holds {written.read_text()[:200]!r}"
        if not is_free and script.texts[-1] not in output:
            return f"the model's last sentence was not shown:\n{output[-3000:]}"
        return None


def main():
    agents = {"codex": codex, "opencode": opencode}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("minke", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("names", nargs="*", choices=[*agents, []])
    parser.add_argument("--free", action="store_true", help="nothing is forced")
    parser.add_argument("--agents", type=pathlib.Path, default=harness.SOURCE / "build/agents")
    arguments = parser.parse_args()
    failed = 0
    names = arguments.names or list(agents)
    server = harness.Server(arguments.minke.resolve(), models=[arguments.model.resolve()],
                            memory="4GB", options=["--ctx", "32768"])
    model = server.get("/v1/models").json()["data"][0]["id"]
    for name in names:
        why = run(agents[name], server, model,
                  arguments.agents.resolve() / "node_modules/.bin", arguments.free)
        failed += why is not None
        print(f"{name}: {why or 'the task is done'}", flush=True)
    server.close()
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
