"""The world's faults: killed, a full disk, files that are not what they were."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import harness
from harness import contains, equal

WORDS = " ".join(f"word{i}" for i in range(60))


def make_server(room):
    return Faults(room)


class Faults:
    """Makes servers that each test breaks in its own way."""

    def __init__(self, room):
        self.room = room
        self.log = []
        self.started = []
        self.folder = tempfile.TemporaryDirectory(prefix="minke-faults-")

    def close(self):
        # What a failed test has left behind.
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        self.folder.cleanup()
        return 0

    def server(self, model, cache):
        """With its prompt cache on the disk."""
        started = self.room.server(models=[model], cache=cache, keeps_prompts=True,
                                   needs_log=True, memory="600MB")
        self.started.append(started.process)
        return started


def ask(server, content=WORDS, **more):
    return server.post("/v1/chat/completions", {
        "messages": [{"role": "user", "content": content}], "max_tokens": 4, "temperature": 0,
        **more})


def notices(server):
    """What the log of a server that has ended says of its cache."""
    told = [json.loads(line) for line in server.log]
    return [line["notice"] for line in told if line.get("notice")]


def usage(answer):
    equal(answer.status, 200, answer.body[:300])
    found = answer.json()["usage"]
    return found["prompt_tokens"], found["prompt_tokens_details"]["cached_tokens"]


def kill(server):
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.folder.cleanup()


def test_a_server_that_is_killed_reads_nothing_again(faults):
    cache = pathlib.Path(faults.folder.name) / "killed"
    server = faults.server(faults.room.tiny(), cache)
    first = usage(ask(server))
    equal(first[1], 0)
    answer = ask(server).json()["choices"]
    deadline = time.monotonic() + 20
    while not list(cache.glob("minke/prompts/*.kv")) or max(
            path.stat().st_size for path in cache.glob("minke/prompts/*.kv")) < 8192:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.5)
    kill(server)
    server = faults.server(faults.room.tiny(), cache)
    again = ask(server)
    tokens, cached = usage(again)
    assert cached >= tokens // 64 * 64 - 64 and cached > 0, (tokens, cached)
    equal(again.json()["choices"], answer, "the same answer from what was kept")
    equal(server.close(), 0)


def test_kills_at_any_moment_leave_a_cache_that_can_be_used(faults):
    cache = pathlib.Path(faults.folder.name) / "often"
    rounds = int(os.environ.get("MINKE_KILL_ROUNDS", "6"))
    expected = None
    for i in range(rounds):
        server = faults.server(faults.room.tiny(), cache)
        answer = ask(server).json()["choices"][0]["message"]["content"]
        expected = expected or answer
        equal(answer, expected, f"round {i}")
        ask(server, WORDS + f" {i} " + WORDS)
        time.sleep(0.07 * i)
        kill(server)


def test_pages_that_were_damaged_are_read_again_and_the_log_says_so(faults):
    cache = pathlib.Path(faults.folder.name) / "pages"
    for is_again in (False, True):
        server = faults.server(faults.room.tiny(), cache)
        answer = ask(server)
        expected = answer.json()["choices"]
        equal(usage(answer)[1] > 0, is_again)
        equal(server.close(), 0)
        equal(notices(server), [], "there is nothing to tell of a good file")
    path, = cache.glob("minke/prompts/*.kv")
    data = bytearray(path.read_bytes())
    # Inside the bytes of the first page: behind the file's block and the page's own.
    data[4096 + 4096 + 100] ^= 1
    path.write_bytes(data)
    server = faults.server(faults.room.tiny(), cache)
    again = ask(server)
    equal(again.json()["choices"], expected)
    equal(server.close(), 0)
    said, = notices(server)
    contains(said, f"{path}: a page was damaged")


def test_a_cache_file_of_noise_is_begun_anew(faults):
    cache = pathlib.Path(faults.folder.name) / "noise"
    server = faults.server(faults.room.tiny(), cache)
    expected = ask(server).json()["choices"]
    equal(server.close(), 0)
    for path in cache.glob("minke/prompts/*"):
        path.write_bytes(os.urandom(path.stat().st_size))
    server = faults.server(faults.room.tiny(), cache)
    again = ask(server)
    equal(usage(again)[1], 0)
    equal(again.json()["choices"], expected)
    equal(server.close(), 0)
    told = sorted(notices(server))
    equal(len(told), 2, told)
    contains(told[0], ".kv: the file was damaged, and is begun anew")
    contains(told[1], ".turns: the file was damaged")


def test_a_cache_that_cannot_be_written_is_done_without(faults):
    cache = pathlib.Path(faults.folder.name) / "readonly"
    (cache / "minke").mkdir(parents=True)
    (cache / "minke/prompts").write_text("a file where the folder should be")
    server = faults.server(faults.room.tiny(), cache)
    usage(ask(server))
    equal(server.close(), 0)
    said, = notices(server)
    contains(said, "prompts are not kept on the disk")


def test_a_full_disk_ends_the_cache_and_nothing_else(faults):
    if os.geteuid() != 0:
        raise harness.Skip("needs root, to mount a small disk")
    cache = pathlib.Path(faults.folder.name) / "full"
    (cache / "minke").mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs",
                              str(cache / "minke")], check=False, capture_output=True)
    if mounted.returncode:
        raise harness.Skip("needs the right to mount a small disk")
    try:
        server = faults.server(faults.room.tiny(), cache)
        for i in range(4):
            usage(ask(server, f"{i} " + WORDS))
            time.sleep(0.3)
        equal(server.close(), 0)
        said, = notices(server)
        contains(said, "No space left on device; prompts are not kept on the disk any more")
    finally:
        subprocess.run(["umount", str(cache / "minke")], check=True)


def test_a_model_that_is_cut_short_under_the_server_is_told_and_loaded_anew(faults):
    model = pathlib.Path(faults.folder.name) / "model.gguf"
    shutil.copy(faults.room.tiny(), model)
    server = faults.server(model, pathlib.Path(faults.folder.name) / "cut")
    expected = ask(server).json()["choices"]
    whole = model.read_bytes()
    os.truncate(model, len(whole) // 3)
    told = None
    for i in range(5):
        answer = ask(server, f"{i}")
        if answer.status != 200:
            told = answer.json()["error"]["message"]
            break
    # A model whose embeddings lie in memory may not notice at all; one that does says so.
    if told is not None:
        contains(told, "model")
    model.write_bytes(whole)
    deadline = time.monotonic() + 10
    while ask(server).status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    equal(ask(server).json()["choices"], expected)
    equal(server.get("/health").json()["status"], "ok")
    equal(server.close(), 0)


def test_a_model_that_is_no_model_is_an_error_of_that_model_alone(faults):
    broken = pathlib.Path(faults.folder.name) / "broken.gguf"
    broken.write_bytes(b"GGUF" + os.urandom(4000))
    server = faults.server(broken, pathlib.Path(faults.folder.name) / "broken")
    answer = ask(server)
    assert answer.status in (500, 503), answer.status
    contains(answer.json()["error"]["message"], "broken")
    equal(server.get("/health").status, 200)
    equal(server.close(), 0)
