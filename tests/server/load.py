#!/usr/bin/env python3
"""Puts a server under load and holds it to what docs/server.md promises.

    tests/server/load.py MINKE MODEL [SCENARIO...] [--small] [--connections N] [--batch-rate RATE]

Starts `minke serve` on a free port of the loopback address for each scenario, with its options, and
ends it. Prints a line of figures for each, and the counts as its last line. SCENARIO: idle, streams,
crowd, memory, leavers; all of them when none is named. --batch-rate is the engine's own rate for 32
sequences in tokens/s (`minke bench MODEL --rows batch-32`), with which `streams` is compared.

--small is the same for every commit, on any machine however busy: fewer clients, a model of random
weights will do, and what is held to is counts (everybody is answered, nothing hangs, nothing is
left behind), never a time.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time


class Server:
    """A server of our own: started, asked, ended."""

    def __init__(self, minke, model, *options):
        self.process = subprocess.Popen(
            [minke, "serve", model, "--port", "0", "--log", "none", "--no-disk-cache",
             "--no-history", *options],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if "://" not in line:
            raise SystemExit(f"minke serve said: {line!r}")
        self.port = int(line.split("://")[1].split("/")[0].rsplit(":", 1)[1])
        deadline = time.monotonic() + 120
        while not self.get("/health")["models_loaded"]:
            if time.monotonic() > deadline:
                raise SystemExit("the model was not loaded within 120 s")
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path):
        with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                               .encode())
            data = b""
            while part := connection.recv(65536):
                data += part
        return json.loads(data.split(b"\r\n\r\n", 1)[1])

    def resident_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


# Random weights end an answer anywhere: without these tokens they do not.
NO_END = {"logit_bias": {"0": -100, "1": -100, "2": -100}}


def chat_request(arguments, content, tokens, stream=True, **more):
    body = json.dumps({"messages": [{"role": "user", "content": content}], "max_tokens": tokens,
                       "stream": stream, "temperature": 1, "stream_options": {"include_usage": True},
                       **(NO_END if arguments.small else {}), **more}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)) + body


async def answer(port, request, seconds=300, on_open=None):
    """Status, headers and body of one request; chunks are left as they are."""
    async def talk():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            if on_open:
                on_open()
            writer.write(request)
            await writer.drain()
            return await reader.read(-1)
        finally:
            writer.close()
    data = await asyncio.wait_for(talk(), seconds)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in
               (line.split(": ", 1) for line in lines[1:] if ": " in line)}
    status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else 0
    return status, headers, body


def tokens_of(body):
    """What a stream's usage says of its answer; -1 when the stream has no end."""
    if b"data: [DONE]" not in body:
        return -1
    place = body.rfind(b'"completion_tokens":')
    return int(body[place + 20:].split(b",")[0]) if place >= 0 else -1


async def watch_health(port, stop, times):
    """Asks for /health ten times a second, on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while not stop.is_set():
        begin = time.perf_counter()
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"}")
        times.append(time.perf_counter() - begin)
        await asyncio.sleep(0.1)
    writer.close()


class HealthProcess:
    """The same from a process of its own: this one is busy reading streams, and would measure that."""

    def __init__(self, port):
        code = (
            "import socket,sys,time\n"
            f"s=socket.create_connection(('127.0.0.1',{port}))\n"
            "s.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1)\n"
            "while True:\n"
            "  b=time.perf_counter()\n"
            "  s.sendall(b'GET /health HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
            "  d=b''\n"
            "  while b'}' not in d:\n"
            "    p=s.recv(4096)\n"
            "    if not p: sys.exit()\n"
            "    d+=p\n"
            "  print(time.perf_counter()-b,flush=True)\n"
            "  time.sleep(0.02)\n")
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE,
                                        text=True)
        self.first = self.process.stdout.readline()  # it takes a while to start

    def end(self):
        self.process.terminate()
        text, _ = self.process.communicate()
        text = self.first + text
        return sorted(float(line) for line in text.split() if line.count(".") == 1)


def quantile(values, share):
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def idle(arguments):
    """Connections that wait cost little."""
    count = arguments.connections
    with Server(arguments.minke, arguments.model) as server:
        before = server.resident_kib()
        kept = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", server.port), 10)
            one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            kept.append(one)
        for one in kept:
            data = b""
            while b"}" not in data:
                data += one.recv(4096)
        each = (server.resident_kib() - before) / count
        begin = time.perf_counter()
        server.get("/health")
        health_ms = (time.perf_counter() - begin) * 1e3
        for one in kept:
            one.close()
    print(f"idle: {count} connections, {each:.2f} KiB each, /health {health_ms:.1f} ms meanwhile")
    return each <= 32 and (arguments.small or health_ms < 100)


def streams(arguments):
    """Many clients stream at once, and the server stays awake."""
    count, tokens = (64, 16) if arguments.small else (256, 48)

    async def run(server):
        requests = [chat_request(arguments, f"Tell me about the number {i}.", tokens, seed=i,
                                 min_p=0) for i in range(count)]
        return await asyncio.gather(*(answer(server.port, one) for one in requests))

    with Server(arguments.minke, arguments.model) as server:
        asyncio.run(run(server))  # warm
        health = HealthProcess(server.port)
        begin = time.perf_counter()
        answers = asyncio.run(run(server))
        seconds = time.perf_counter() - begin
        times = health.end()
    counts = [tokens_of(body) for status, _, body in answers if status == 200]
    bad = count - sum(1 for one in counts if one > 0)
    rate = sum(counts) / seconds
    p99 = quantile(times, 0.99) * 1e3
    share = f", {rate / arguments.batch_rate:.2f} of the engine's" if arguments.batch_rate else ""
    print(f"streams: {count} at once, {bad} without an answer, {rate:.0f} tokens/s{share}, "
          f"/health p50 {quantile(times, 0.5) * 1e3:.1f} ms, p99 {p99:.1f} ms of {len(times)}")
    return bad == 0 and len(times) > 0 and (arguments.small or p99 <= arguments.health_ms)


def crowd(arguments):
    """Many more clients than places: everybody is answered or told to come again."""
    count, queue, parallel = (200, 8, 4) if arguments.small else (1000, 64, 32)

    async def run(server):
        requests = [chat_request(arguments, f"Say {i}.", 8) for i in range(count)]
        return await asyncio.gather(*(answer(server.port, one) for one in requests),
                                    return_exceptions=True)

    with Server(arguments.minke, arguments.model, "--queue", str(queue), "--parallel",
                str(parallel)) as server:
        answers = asyncio.run(run(server))
        waiting = server.get("/health")
    good = sum(1 for one in answers if not isinstance(one, BaseException) and one[0] == 200 and
               tokens_of(one[2]) > 0)
    told = sum(1 for one in answers if not isinstance(one, BaseException) and one[0] == 429 and
               int(one[1].get("retry-after", 0)) > 0)
    print(f"crowd: {count} clients, {good} answered, {told} told to come again, "
          f"{count - good - told} neither; afterwards {waiting['requests_running']} run")
    return good >= queue + parallel and good + told == count and waiting["requests_running"] == 0


def memory(arguments):
    """Requests leave nothing behind."""
    rounds, grown_max = (800, 4096) if arguments.small else (arguments.requests, 1024)

    async def run(server, count):
        gate = asyncio.Semaphore(16)

        async def one(i):
            async with gate:
                # The same few prompts and answers again: what the cache may keep, it has.
                request = chat_request(arguments, f"Say {i % 16}.", 1, stream=False, temperature=0)
                return (await answer(server.port, request))[0]
        return await asyncio.gather(*(one(i) for i in range(count)))

    with Server(arguments.minke, arguments.model) as server:
        # Until each of the sixteen at a time has had its pages and its memory.
        asyncio.run(run(server, max(500, rounds // 2)))
        before = server.resident_kib()
        begin = time.perf_counter()
        statuses = asyncio.run(run(server, rounds))
        seconds = time.perf_counter() - begin
        grown = server.resident_kib() - before
    bad = sum(1 for status in statuses if status != 200)
    print(f"memory: {rounds} requests in {seconds:.0f} s, {bad} failed, grown by {grown} KiB")
    return bad == 0 and grown < grown_max


def leavers(arguments):
    """Clients that hang up at any moment leave no slot taken, and no file open."""
    count, seconds_max = (60, 30) if arguments.small else (200, 2)
    chance = random.Random(1)

    async def leave(server, i):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        # A tiny model's context is short: it would refuse what the others read.
        times = chance.randrange(1, 20 if arguments.small else 200)
        writer.write(chat_request(arguments, f"Count from {i}. " * times, 2000))
        await writer.drain()
        try:
            await asyncio.wait_for(reader.read(-1), chance.random() * 3)
        except asyncio.TimeoutError:
            pass
        writer.transport.abort()

    async def run(server):
        await asyncio.gather(*(leave(server, i) for i in range(count)))
        begin = time.perf_counter()
        while True:
            load = server.get("/health")
            if load["requests_running"] + load["requests_waiting"] == 0:
                return time.perf_counter() - begin
            if time.perf_counter() - begin > max(10, seconds_max):
                return float("inf")
            await asyncio.sleep(0.01)

    with Server(arguments.minke, arguments.model) as server:
        before = server.open_files()
        seconds = asyncio.run(run(server))
        status, _, body = asyncio.run(answer(server.port, chat_request(arguments, "Hello", 4)))
        left = server.open_files() - before
    print(f"leavers: {count} clients left, the last slot was free {seconds * 1e3:.0f} ms later; "
          f"{left} more files are open")
    return seconds < seconds_max and status == 200 and tokens_of(body) > 0 and left <= 4


SCENARIOS = {"idle": idle, "streams": streams, "crowd": crowd, "memory": memory,
             "leavers": leavers}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("minke")
    parser.add_argument("model")
    parser.add_argument("scenarios", nargs="*", choices=[[], *SCENARIOS], default=[])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--connections", type=int)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--batch-rate", type=float, default=0)
    parser.add_argument("--health-ms", type=float, default=10)
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = arguments.connections or (1000 if arguments.small else 10_000)
    arguments.connections = min(wanted, hard - 256)
    passed = failed = 0
    for name in arguments.scenarios or SCENARIOS:
        if SCENARIOS[name](arguments):
            passed += 1
        else:
            failed += 1
            print(f"FAILED {name}: {SCENARIOS[name].__doc__}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
