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
                    f"take it from one of them ('vzctl set {other.ctid} {_option(address)} --save')",
                )
                for address in shared
            ]
    subject = f"{at.source.node}:{at.config_path}"
    found += [
        error(
            "address-unreadable",
            subject,
            f"{word!r} in IP_ADDRESS is no address, so that nothing says whether another container has it",
            "write IPv4 and IPv6 addresses, with blanks between them",
        )
        for word in _words(at.config)
        if re.search("[0-9]", word) and _address(word) is None  # other words (auto, dhcp) name none
    ]
    return tuple(found)


def _option(address: str) -> str:
    """Of ``vzctl set``."""
    return (
        "--netif_del IFNAME"
        if re.fullmatch("(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", address)
        else f"--ipdel {address}"
    )


def _words(config: str) -> list[str]:
    return re.split(r"[\s,]+", (value(config, "IP_ADDRESS") or "").strip(" ,\t"))


def _address(word: str) -> IPv4Address | IPv6Address | None:
    """Whatever its text form: with a netmask, with leading zeros, an IPv4 address as one of IPv6."""
    plain = re.sub(r"(?<![0-9a-f:])0+(?=[0-9])", "", word) if ":" not in word else word
    try:
        address = ip_interface(plain).ip
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def addresses(config: str) -> frozenset[IPv4Address | IPv6Address]:
    """The addresses of ``IP_ADDRESS``, whatever their text form; what is none is passed over."""
    return frozenset(a for a in map(_address, _words(config)) if a is not None)


def hardware(config: str) -> frozenset[str]:
    """The MACs of ``NETIF``, in lower case."""
    return frozenset(mac.lower() for mac in MAC.findall(value(config, "NETIF") or ""))
