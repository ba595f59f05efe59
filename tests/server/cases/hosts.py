"""A server for a whole network: by which names it may be called, and what it says at its start."""

import json
import socket

from harness import contains, equal

KEY = "secret"


def make_server(room):
    path = room.folder / "key.txt"
    path.write_text(KEY + "\n")
    return room.server(models=[room.tiny()], options=[
        "--host", "0.0.0.0", "--api-key-file", path, "--host-name", "box.example", "--json"])


def status_for(server, host, origin=None):
    headers = {"Host": host, "Authorization": f"Bearer {KEY}"}
    return server.get("/v1/models", headers=headers | ({"Origin": origin} if origin else {})).status


def test_its_address_is_told_as_json(server):
    equal(json.loads(server.line), {"url": f"http://0.0.0.0:{server.port}/", "host": "0.0.0.0",
                                    "port": server.port})


def test_it_is_called_by_its_names_and_addresses(server):
    for host in ("box.example", f"localhost:{server.port}", "127.0.0.1", "192.168.0.7:8080",
                 "[fd00::7]", socket.gethostname(), socket.gethostname() + ".local"):
        equal(status_for(server, host), 200, host)
        equal(status_for(server, host, f"http://{host}"), 200, host)


def test_a_name_that_somebody_has_point_here_is_no_way_in(server):
    for host in ("evil.example", "192.168.0.7.evil.example", "", "box.example.evil.example"):
        equal(status_for(server, host), 421, host)
        equal(status_for(server, host, f"http://{host}"), 421, host)
    answer = server.get("/v1/models", headers={"Host": "evil.example"})
    contains(answer.json()["error"]["message"], "--host-name")
