# SPDX-License-Identifier: MIT
"""What a program under the debug host has live, for gdb: from a stopped process or a core, without running any of it.

    (gdb) source hostmalloc-gdb.py
    (gdb) hostmalloc sites            live blocks and bytes by site, more bytes first
    (gdb) hostmalloc blocks rows.c:42 each live block of the sites that end so
    (gdb) hostmalloc block ADDRESS    what is known of the block an address lies in

It reads the block map and the headers as the library lays them out, so the library must have debug information.
"""

import struct

import gdb

STATES = {1: "live", 2: "freed", 3: "gone", 4: "damaged", 5: "moving", 6: "ignored", 7: "guarded", 8: "guarded, freed"}
LIVE = (1, 6, 7)
WINDOW_BITS = 4
LEAF_BITS = 24
LEAF_BYTES = 1 << (LEAF_BITS - WINDOW_BITS)
LONG = 0xFFFFFFFF
SITE_MASK = (1 << 20) - 1
ORIGIN_BYTES = 46
SITES_OF_CHUNK = 4096


class Block:
    def __init__(self, address, state, size, site, thread, serial, owner):
        self.address = address
        self.state = state
        self.size = size
        self.site = site
        self.thread = thread
        self.serial = serial
        self.owner = owner


def fail(text):
    raise gdb.GdbError("hostmalloc: " + text)


def symbol(name, file=None):
    try:
        return gdb.parse_and_eval("'%s'::%s" % (file, name) if file else name)
    except gdb.error:
        fail("no %s: is there a debug host, and debug information of the library?" % name)


def read(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        return None


def slots():
    """Guarded blocks by address: what is known of them is not beside them."""
    found = {}
    buckets = symbol("buckets", "guarded_slots.c")
    low, high = buckets.type.range()
    for i in range(low, high + 1):
        slot = buckets[i]
        while int(slot):
            found[int(slot["block"])] = slot.dereference()
            slot = slot["next"]
    return found


def fields(address, state, size, low, high):
    return Block(address, state, size, (low >> 32) & SITE_MASK, low >> 52, (high >> 16) & SITE_MASK, high & 0xFFFF)


def block_at(address, state, guarded):
    if address in guarded:
        slot = guarded[address]
        return fields(address, state, int(slot["bytes"]), int(slot["low"]), int(slot["high"]))
    words = read(address - 16, 16)
    if words is None or state in (3, 5):
        return Block(address, state, 0, 0, 0, 0, 0)
    low, high = struct.unpack("<QQ", words)
    size = low & LONG
    if size == LONG:
        size = struct.unpack("<Q", read(address - 24, 8) or b"\0" * 8)[0] & ((1 << ORIGIN_BYTES) - 1)
    return fields(address, state, size, low, high)


def blocks(wanted=LIVE):
    guarded = slots()
    leaf = symbol("hm__debug")["map"]["leaves"]
    while int(leaf):
        base = int(leaf["index"]) << LEAF_BITS
        bytes_of_leaf = read(int(leaf["bytes"]), LEAF_BYTES)
        if bytes_of_leaf is None:
            gdb.write("hostmalloc: a part of the block map is not in the core\n")
            bytes_of_leaf = b""
        for word in range(0, len(bytes_of_leaf), 4096):
            page = bytes_of_leaf[word : word + 4096]
            if not any(page):
                continue
            for i, value in enumerate(page):
                if value in wanted:
                    yield block_at(base + ((word + i) << WINDOW_BITS), value, guarded)
        leaf = leaf["next"]


def string(pointer):
    return pointer.string(errors="replace") if int(pointer) else None


class Sites:
    def __init__(self):
        self.chunks = symbol("chunks", "site.c")
        self.count = int(symbol("last_id", "site.c"))
        self.entries = SITES_OF_CHUNK
        self.known = {}

    def text(self, number):
        if number not in self.known:
            self.known[number] = self.look(number)
        return self.known[number]

    def look(self, number):
        if not 0 < number <= self.count:
            return "(unknown)"
        site = self.chunks[number // self.entries][number % self.entries].dereference()
        text = string(site["file"]) or "?"
        if int(site["line"]):
            text += ":%d" % int(site["line"])
        function = string(site["function"])
        return "%s (%s)" % (text, function) if function else text

    def ends(self, number, place):
        text = self.text(number).split(" (")[0]
        return text == place or text.endswith("/" + place)


def malloc_name(number):
    owner = symbol("hm__debug")["mallocs"][number]
    return owner["name"].string(errors="replace") if int(owner) else "?"


class Hostmalloc(gdb.Command):
    """What the debug host has live: hostmalloc sites, hostmalloc blocks FILE:LINE, hostmalloc block ADDRESS."""

    def __init__(self):
        super().__init__("hostmalloc", gdb.COMMAND_DATA, gdb.COMPLETE_NONE, True)


class HostmallocSites(gdb.Command):
    """Live blocks and bytes of the debug host by site, more bytes first."""

    def __init__(self):
        super().__init__("hostmalloc sites", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        sites = Sites()
        sums = {}
        for block in blocks():
            count, size = sums.get(block.site, (0, 0))
            sums[block.site] = (count + 1, size + block.size)
        gdb.write("%10s %14s  site\n" % ("blocks", "bytes"))
        for site, (count, size) in sorted(sums.items(), key=lambda row: (-row[1][1], row[0])):
            gdb.write("%10d %14d  %s\n" % (count, size, sites.text(site)))
        gdb.write(
            "%10d %14d  total of %d site%s\n"
            % (sum(c for c, _ in sums.values()), sum(s for _, s in sums.values()), len(sums), "s"[len(sums) == 1 :])
        )


class HostmallocBlocks(gdb.Command):
    """Each live block of the sites that end like the argument: hostmalloc blocks FILE:LINE. Without one, all."""

    def __init__(self):
        super().__init__("hostmalloc blocks", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        sites = Sites()
        found = False
        for block in blocks():
            if not argument or sites.ends(block.site, argument.strip()):
                write_block(block, sites)
                found = True
        if not found:
            gdb.write("no live block%s\n" % (" of " + argument.strip() if argument else ""))


class HostmallocBlock(gdb.Command):
    """What is known of the block an address lies in: hostmalloc block ADDRESS."""

    def __init__(self):
        super().__init__("hostmalloc block", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        if not argument:
            fail("expected an address: hostmalloc block ADDRESS")
        address = int(gdb.parse_and_eval(argument))
        for block in blocks((1, 2, 4, 6, 7, 8)):
            if block.address <= address < block.address + max(block.size, 1):
                write_block(block, Sites())
                return
        gdb.write("0x%x is in no block of the debug host\n" % address)


def write_block(block, sites):
    gdb.write(
        '0x%x  %d bytes, %s, #%d of %s, thread %d, malloc "%s"\n'
        % (
            block.address,
            block.size,
            STATES[block.state],
            block.serial,
            sites.text(block.site),
            block.thread,
            malloc_name(block.owner),
        )
    )


Hostmalloc()
HostmallocSites()
HostmallocBlocks()
HostmallocBlock()
