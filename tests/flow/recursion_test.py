#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Recursion from the root down, in a small Internet of the test's own."""

import random

import roots
from flow import *
from roots import EVIL_AT, LEAF_AT, MUTE_AT, ROOT_AT, TLD_AT, VICTIM_AT, tree

DEADLINE_S = 2.0
CONFIG = """
recursion:
  enabled: true
  hints: "{dir}/hints"
  trust-anchors: "{dir}/anchor"
  deadline: 2s
  MORE
"""
PLAIN = Spec(config=CONFIG.replace("MORE", "threads: 2"), prepare=roots.prepare)


def addresses(reply):
    return [str(rdata) for rrset in reply.answer for rdata in rrset if rrset.rdtype in (1, 28)]


@test(PLAIN)
def two_delegations_lead_from_the_root_to_the_answer(rig):
    tree(rig)
    found = rig.dig("www.good.example", "A")
    same((found.status, found.answer), ("NOERROR", ["www.good.example. 3600 IN A 198.18.40.1"]))
    same(found.flags, {"qr", "rd", "ra", "ad"})


if __name__ == "__main__":
    main()
