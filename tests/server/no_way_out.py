#!/usr/bin/env python3
"""Runs a command where the only way out of the machine is a trap, and fails when anything falls in.

    tests/server/no_way_out.py COMMAND [ARGUMENT...]

The command gets a network namespace of its own: a loopback interface, and a default route into a
tunnel whose other end is this script, which counts the packets and says where they wanted to go. A
packet of its own comes first, so that a trap that does not work is seen. Needs unshare, ip and
/dev/net/tun; where the trap cannot be had it says why and exits with 77.
"""

import fcntl
import ipaddress
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

INSIDE = "MINKE_INSIDE_NAMESPACE"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


class Trap:
    """The tunnel's other end."""

    def __init__(self):
        self.packets = []
        self.tunnel = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.tunnel, TUNSETIFF, struct.pack("16sH", b"trap0", IFF_TUN | IFF_NO_PI))
        # The kernel looks for IPv6 routers on every interface: that is not the command's doing.
        try:
            pathlib.Path("/proc/sys/net/ipv6/conf/trap0/disable_ipv6").write_text("1")
        except OSError:
            pass
        for command in ("link set lo up", "address add 198.51.100.2/24 dev trap0",
                        "link set trap0 up", "route add default dev trap0"):
            subprocess.run(["ip", *command.split()], check=True)
        threading.Thread(target=self.catch, daemon=True).start()

    def catch(self):
        while True:
            packet = os.read(self.tunnel, 65536)
            at, size = (16, 4) if packet[0] >> 4 == 4 else (24, 16)
            self.packets.append(str(ipaddress.ip_address(packet[at:at + size])))


def not_here(why):
    print(f"no_way_out: {why}", file=sys.stderr)
    sys.exit(77)


def inside(command):
    try:
        trap = Trap()
    except (OSError, subprocess.CalledProcessError) as why:
        not_here(f"no trap can be made here: {why}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.sendto(b"?", ("192.0.2.1", 53))
    time.sleep(0.3)
    if trap.packets != ["192.0.2.1"]:
        raise SystemExit(f"no_way_out: one packet was sent, and the trap has {trap.packets}")
    trap.packets.clear()
    status = subprocess.run(command, check=False).returncode
    time.sleep(0.5)
    print(f"no_way_out: {len(trap.packets)} packets wanted to leave"
          + (": to " + ", ".join(sorted(set(trap.packets))) if trap.packets else ""))
    return status or (1 if trap.packets else 0)


def main():
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    if os.environ.pop(INSIDE, None):
        sys.exit(inside(sys.argv[1:]))
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if not os.path.exists("/dev/net/tun"):
        not_here("there is no /dev/net/tun here")
    try:
        tried = subprocess.run([*unshare, "true"], check=False, capture_output=True, text=True)
    except OSError as why:
        not_here(f"no network namespace can be made here: {why}")
    if tried.returncode:
        not_here(f"no network namespace can be made here: {tried.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


if __name__ == "__main__":
    main()
