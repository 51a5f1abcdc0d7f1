#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Parts of 82599.sh that need more than a shell. The exit status says whether all was as expected.

  82599.py mailbox PCI             a virtual function without a driver talks to the PF's ixgbe, in each version of the
                                   mailbox's interface
  82599.py stamps IF NS IF ADDRESS PTP time stamps of both sides: from IF to IF in namespace NS, which has ADDRESS
  82599.py spoof NS IF NS IF       frames with a wrong source address from the first do not reach the second
"""

import ctypes
import fcntl
import mmap
import os
import select
import socket
import struct
import sys
import time

failures = 0


def expect(what, good):
    global failures
    if not good:
        failures += 1
        print(f"# not as expected: {what}")


def in_namespace(name, function):
    """What `function` returns in a network namespace; a socket stays in the one it was made in."""
    with open("/proc/self/ns/net") as home, open(f"/run/netns/{name}") as there:
        os.setns(there.fileno())
        try:
            return function()
        finally:
            os.setns(home.fileno())


class Mailbox:
    """The VF's side of its mailbox (datasheet 8.3.5)."""

    VFCTRL, VFMBMEM, VFMAILBOX = 0x000, 0x200, 0x2FC
    REQ, ACK, VFU, PFSTS, PFACK, RSTI, RSTD = 0x01, 0x02, 0x04, 0x10, 0x20, 0x40, 0x80
    DONE, REFUSED, CTS = 1 << 31, 1 << 30, 1 << 29

    def __init__(self, device):
        with open(f"/sys/bus/pci/devices/{device}/enable", "w") as enable:
            enable.write("1")
        self.file = os.open(f"/sys/bus/pci/devices/{device}/resource0", os.O_RDWR | os.O_SYNC)
        self.space = memoryview(mmap.mmap(self.file, 0x4000)).cast("I")
        self.seen = 0

    def read(self, offset):
        return self.space[offset // 4]

    def write(self, offset, value):
        self.space[offset // 4] = value

    def wait(self, bit):
        """Waits for an event; a read clears all of them."""
        end = time.monotonic() + 5
        while not self.seen & bit:
            self.seen |= self.read(self.VFMAILBOX)
            if time.monotonic() > end:
                raise TimeoutError(f"VFMAILBOX bit {bit:#x}")
        self.seen &= ~bit

    def own(self):
        end = time.monotonic() + 5
        while True:
            self.write(self.VFMAILBOX, self.VFU)
            state = self.read(self.VFMAILBOX)
            self.seen |= state
            if state & self.VFU:
                return
            if time.monotonic() > end:
                raise TimeoutError("the mailbox's buffer")

    def ask(self, *words):
        """Sends a message; the answer."""
        self.seen = 0
        self.own()
        for i, word in enumerate(words):
            self.write(self.VFMBMEM + 4 * i, word)
        self.write(self.VFMAILBOX, self.REQ)
        self.wait(self.PFACK)
        self.wait(self.PFSTS)
        self.own()
        answer = [self.read(self.VFMBMEM + 4 * i) for i in range(16)]
        self.write(self.VFMAILBOX, self.ACK)
        return answer

    def reset(self):
        self.write(self.VFCTRL, 1 << 26)
        end = time.monotonic() + 5
        while self.read(self.VFMAILBOX) & self.RSTI and time.monotonic() < end:
            pass
        return self.ask(1)


def mailbox(device):
    vf = Mailbox(device)
    # Numbers on the wire; ixgbe knows neither 2.0 nor 1.5, which is another system's.
    versions = [("1.0", 0), ("2.0", 1), ("1.1", 2), ("1.2", 3), ("1.3", 4), ("1.4", 5), ("1.5", 6), ("1.6", 7), ("1.7", 8)]
    known = [name for name, _ in versions if name not in ("2.0", "1.5")]
    multi, promiscuous = 1, 3
    # Message, words, and the versions in which it is answered.
    requests = [
        ("address", (0x02, 0x99000002, 0x0100), "1.0"),
        ("multicast", (0x03 | 1 << 16, 0x123), "1.0"),
        ("VLAN", (0x04 | 1 << 16, 9), "1.0"),
        ("no VLAN", (0x04, 9), "1.0"),
        ("large packets", (0x05, 1518), "1.0"),
        ("MACVLAN", (0x06, 0, 0), "1.0"),
        ("queues", (0x09,), "1.1"),
        ("redirection table", (0x0A,), "1.2"),
        ("RSS key", (0x0B,), "1.2"),
        ("receive mode", (0x0C, multi), "1.2"),
        ("promiscuous mode", (0x0C, promiscuous), "1.3"),
        ("link state", (0x10,), "1.2"),
        ("PF link state", (0x11,), None),
        ("features", (0x12, 3), "1.7"),
        ("nonsense", (0x7F,), None),
    ]
    answers = {}
    for name, number in versions:
        answer = vf.reset()
        expect(f"{name}: reset answered with {answer[0]:#x}", answer[0] & 0xFFFF == 1 and answer[0] >> 30 in (1, 2))
        answer = vf.ask(0x08, number)
        accepted = name in known
        expect(f"{name}: {answer[0]:#x}", answer[0] == 0x08 | vf.CTS | (vf.DONE if accepted else vf.REFUSED))
        if not accepted:
            print(f"# {name}: refused")
            continue
        done = []
        for what, words, since in requests:
            answer = vf.ask(*words)
            wanted = since is not None and known.index(name) >= known.index(since)
            expect(f"{name}, {what}: {answer[0]:#x}", answer[0] == words[0] | vf.CTS | (vf.DONE if wanted else vf.REFUSED))
            answers[what] = answer
            if wanted:
                done.append(what)
        if name != "1.0":
            # 32 pools, as ixgbe chooses for few VFs.
            expect(f"{name}: queues {answers['queues'][1:5]}", answers["queues"][1:3] == [4, 4])
        print(f"# {name}: {len(done)} kinds of requests answered, {len(requests) - len(done)} refused")
    expect("key", any(answers["RSS key"][1:11]))
    expect("features", answers["features"][1] == 1)
    # Sixteen words each way.
    vf.own()
    for i in range(16):
        vf.write(vf.VFMBMEM + 4 * i, 0xA5000000 + i)
    expect("memory", [vf.read(vf.VFMBMEM + 4 * i) for i in range(16)] == [0xA5000000 + i for i in range(16)])
    vf.reset()


TX_HARDWARE, RX_HARDWARE, RAW_HARDWARE = 1, 4, 64
SO_TIMESTAMPING = 37
SIOCSHWTSTAMP = 0x89B0
PTP_EVENT = 319


def stamping_socket(interface, address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # Time stamps for what is sent, and for all events of PTP version 2.
    config = ctypes.create_string_buffer(struct.pack("iii", 0, 1, 12))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(config))
    fcntl.ioctl(s, SIOCSHWTSTAMP, request)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TX_HARDWARE | RX_HARDWARE | RAW_HARDWARE)
    s.bind((address, PTP_EVENT))
    return s


def stamp(s, flags, events):
    """The raw hardware time stamp of the next message, nanoseconds; 0 if there is none."""
    poll = select.poll()
    poll.register(s, events)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        poll.poll(500)
        try:
            _, ancillary, _, _ = s.recvmsg(2048, 512, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPING:
                seconds, ns = struct.unpack("qq", data[32:48])
                if seconds or ns:
                    return seconds * 1_000_000_000 + ns
        return 0
    return 0


def stamps(near, namespace, far, address):
    sender = stamping_socket(near, "")
    receiver = in_namespace(namespace, lambda: stamping_socket(far, ""))
    # A Sync message of version 2, three times, half a second apart.
    times = []
    for sequence in range(3):
        message = struct.pack(">BBHBB2x8x4x10sHBb10s", 0, 2, 44, 0, 0, bytes(10), sequence, 0, 0, bytes(10))
        started = time.monotonic()
        sender.sendto(message, (address, PTP_EVENT))
        sent = stamp(sender, socket.MSG_ERRQUEUE, select.POLLERR)
        received = stamp(receiver, 0, select.POLLIN)
        times.append((sent, received, started))
        expect(f"time stamps {sent} {received}", sent != 0 and received != 0)
        expect(f"{received - sent} ns apart", abs(received - sent) < 1_000_000_000)
        time.sleep(0.5)
    for side in (0, 1):
        elapsed = (times[2][side] - times[0][side]) / 1e9
        waited = times[2][2] - times[0][2]
        print(f"# the {'receiver' if side else 'sender'}'s clock went on by {elapsed:.3f} s, the system's by {waited:.3f} s")
        expect("rate of the clock", abs(elapsed - waited) < 0.2 * waited)


def spoof(from_namespace, from_interface, to_namespace, to_interface):
    KIND = 0x88B5

    def packet_socket(interface):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(KIND))
        s.bind((interface, KIND))
        s.settimeout(1)
        return s

    sender = in_namespace(from_namespace, lambda: packet_socket(from_interface))
    receiver = in_namespace(to_namespace, lambda: packet_socket(to_interface))
    own = sender.getsockname()[4]
    header = struct.pack(">H", KIND)
    wrong = bytes([own[0], own[1], own[2], own[3], own[4], own[5] ^ 0x55])
    for n in range(5):
        sender.send(b"\xff" * 6 + wrong + header + bytes(50))
    sender.send(b"\xff" * 6 + own + header + bytes(50))
    sources = []
    try:
        while True:
            sources.append(receiver.recv(2048)[6:12])
    except TimeoutError:
        pass
    expect(f"sources {sources}", sources == [own])


commands = {"mailbox": mailbox, "stamps": stamps, "spoof": spoof}
if len(sys.argv) < 2 or sys.argv[1] not in commands:
    sys.exit(__doc__)
commands[sys.argv[1]](*sys.argv[2:])
sys.exit(failures != 0)
