# SPDX-License-Identifier: BSD-3-Clause
"""Many questions at once over one socket."""

import asyncio
import struct


class Client(asyncio.DatagramProtocol):
    """Replies are told apart by their id."""

    def __init__(self):
        self.waiting = {}

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, _):
        waiting = self.waiting.pop(data[:2], None)
        if waiting and not waiting.done():
            waiting.set_result(data)

    async def ask(self, wire):
        for _ in range(3):
            self.waiting[wire[:2]] = asyncio.get_running_loop().create_future()
            self.transport.sendto(wire)
            try:
                return await asyncio.wait_for(self.waiting[wire[:2]], 1)
            except asyncio.TimeoutError:
                continue
        raise AssertionError(f"no reply to {wire.hex()}")


async def over_udp(target, wires):
    _, client = await asyncio.get_running_loop().create_datagram_endpoint(Client, remote_addr=target)
    try:
        return await asyncio.gather(*(client.ask(wire) for wire in wires))
    finally:
        client.transport.close()


async def over_tcp(target, wires):
    reader, writer = await asyncio.open_connection(*target)
    try:
        for wire in wires:
            writer.write(struct.pack("!H", len(wire)) + wire)
        replies = {}
        for _ in wires:
            reply = await reader.readexactly(struct.unpack("!H", await reader.readexactly(2))[0])
            replies[reply[:2]] = reply
        return [replies[wire[:2]] for wire in wires]
    finally:
        writer.close()


def batches(wires, size=100):
    """Batches in which every id is a different one."""
    batch, idents = [], set()
    for wire in wires:
        if wire[:2] in idents or len(batch) == size:
            yield batch
            batch, idents = [], set()
        batch.append(wire)
        idents.add(wire[:2])
    if batch:
        yield batch
