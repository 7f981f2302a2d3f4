"""Addresses: what two containers have cannot be had by both (L20: parsed, IPv4 and IPv6, and MACs)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_interface
from typing import Final

from planner.findings import Finding, error
from planner.model import CONF_DIR
from planner.parse.config import value
from planner.situation import Situation

MAC: Final = re.compile(r"(?:mac|host_mac)=([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5})", re.ASCII)


def checks(at: Situation) -> tuple[Finding, ...]:
    """Findings about addresses that another container has, at the destination or at the source."""
    mine, macs = addresses(at.config), hardware(at.config)
    found = []
    for facts in (at.destination.facts, at.source.facts):
        for other in facts.containers:
            if other.ctid == at.ctid or other.config is None:
                continue
            shared = sorted(map(str, mine & addresses(other.config)))
            shared += sorted(macs & hardware(other.config))
            found += [
                error(
                    "address-in-use",
                    f"{facts.node}:{CONF_DIR}/{other.ctid}.conf",
                    f"container {other.ctid} has {address} too",
                    f"take it from one of them ('vzctl set {other.ctid} --ipdel {address} --save')",
                )
                for address in shared
            ]
    return tuple(found)


def addresses(config: str) -> frozenset[IPv4Address | IPv6Address]:
    """The addresses of ``IP_ADDRESS``, whatever their text form; what is none is passed over."""
    found = set()
    for word in (value(config, "IP_ADDRESS") or "").split():
        try:
            found.add(ip_interface(word).ip)
        except ValueError:
            continue
    return frozenset(found)


def hardware(config: str) -> frozenset[str]:
    """The MACs of ``NETIF``, in lower case."""
    return frozenset(mac.lower() for mac in MAC.findall(value(config, "NETIF") or ""))
