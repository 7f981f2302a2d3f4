"""Whether a container's memory, once written down, can be taken up at the destination: CPU, kernel, mounts, room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from planner.checks import room
from planner.checks.network import addresses
from planner.findings import Finding, error, warning
from planner.model import Check, Known, Mount, NodeFacts
from planner.parse.config import value
from planner.situation import Side, Situation

STAGED: Final = "/proc/cpt"
"""What a kernel has that writes memory down itself; where it is missing CRIU does."""

CAPS: Final = {
    0: "cmov",
    1: "fxsr",
    2: "sse",
    3: "sse2",
    4: "mmx",
    5: "3dnow",
    6: "3dnowext",
    7: "sysenter",
    8: "emt64",
    9: "ia64",
    10: "syscall",
    11: "syscall32",
    12: "sysenter32",
    13: "sse4_1",
    14: "sse4_2",
    15: "sse4a",
    25: "xsave",
    26: "avx",
    27: "aesni",
}
"""The bits of ``vzcptcheck caps`` that stand for something of the CPU; the others are about the container."""

_KERNELS_OWN: Final = (
    "acpi amd_ppin aperfmperf apic arat arch_capabilities arch_lbr arch_perfmon art bts cat_l2 cat_l3 cdp_l2 cdp_l3 "
    "cmp_legacy constant_tsc cpb cpuid cpuid_fault cqm cqm_llc cqm_mbm_local cqm_mbm_total cqm_occup_llc dca de "
    "decodeassists ds_cpl dtes64 dtherm dts epb ept ept_ad est extapic extd_apicid flexpriority flush_l1d flushbyasid "
    "ht hw_pstate hwp hwp_act_window hwp_epp hwp_notify hwp_pkg_req hypervisor ibpb ibrs ibrs_enhanced ibs ida "
    "intel_ppin intel_pt invpcid invpcid_single kaiser lbrv mba mca mce md_clear msr mtrr nonstop_tsc nonstop_tsc_s3 "
    "npt nrip_save nx osvw pae pat pausefilter pbe pcid pconfig pdcm pdpe1gb pebs perfctr_core perfctr_llc perfctr_nb "
    "pfthreshold pge pln pse pse36 pti pts rep_good retpoline retpoline_amd rsb_ctxsw sdbg sev sev_es skinit smap "
    "smca sme smep smx split_lock_detect ss ssbd stibp svm svm_lock tce tm tm2 topoext tpr_shadow tsc_adjust "
    "tsc_deadline_timer tsc_known_freq tsc_reliable tsc_scale umip v_vmsave_vmload vgif vmcb_clean vme vmx vnmi vpid "
    "wdt x2apic xtopology xtpr "
)
KERNELS: Final = frozenset(_KERNELS_OWN.split())
"""Flags of /proc/cpuinfo that say what the kernel has found, or uses itself; no program in a container misses them."""

SPARE: Final = 1.1
SPARE_BYTES: Final = 16 << 20
"""A dump holds more than memory, and the container goes on until it is suspended."""

PAGE_BYTES: Final = 4096
SUFFIXES: Final = {
    "": PAGE_BYTES,
    "P": PAGE_BYTES,
    "B": 1,
    "K": 1 << 10,
    "M": 1 << 20,
    "G": 1 << 30,
    "T": 1 << 40,
}
"""Units of PHYSPAGES (vzctl(8))."""

ENDLESS_BYTES: Final = 1 << 42
"""A limit beyond any node's memory is none."""


def checks(at: Situation) -> tuple[Finding, ...]:
    """For a container whose memory goes along."""
    if not at.has_memory:
        return ()
    return (
        *_criu(at),
        *_cpu(at),
        *_image(at),
        *_ipv6(at),
        *_mounts(at),
        *_dump_fits(at),
        *_memory_fits(at),
    )


def _staged(at: Situation) -> bool:
    """Whether the source's kernel writes it down, or did."""
    return STAGED in at.source.facts.tools


def _criu(at: Situation) -> list[Finding]:
    """Where CRIU does it, whether it can; where it is not installed another check says so."""
    if _staged(at):
        return []
    found = []
    for side in (at.source, at.destination) if at.online else (at.destination,):
        criu = side.facts.criu
        if "criu" not in side.facts.tools or (criu is not None and criu.works is Known.YES):
            continue
        said = f" ({criu.said})" if criu is not None and criu.said else ""
        if criu is not None and criu.works is Known.NO:
            why = f"'criu check' says that CRIU cannot work with the kernel{said}"
        else:
            why = f"nothing says whether CRIU can work with the kernel{said}"
        remedy = f"see what 'criu check' says on {side.node}, or {_otherwise(at)}"
        found.append(error("no-checkpoint", side.node, why, remedy))
    return found


def _otherwise(at: Situation) -> str:
    """How it can be moved all the same."""
    return "leave out --online" if at.online else "take it up at the source, and move it stopped"


# --- CPU and images


def _judge(at: Situation) -> Callable[[str, str, str, str], Finding]:
    return warning if Check.CPU in at.options.nodeps else error


def _remedy(at: Situation) -> str:
    if Check.CPU not in at.options.nodeps:
        return f"{_otherwise(at)}, or say --nodeps=cpu if you know that it can"
    if at.online:
        return "it shows when the memory is taken up; if it cannot be, everything is taken back"
    return "it shows when the memory is taken up, and the old dump is deleted by then: keep a copy if you must be sure"


def _cpu(at: Situation) -> list[Finding]:
    """Of a suspended container's memory only the CPU that the source has now is known."""
    here, there = at.source.facts, at.destination.facts
    lacks = _lacks(here, there)
    if lacks == ():
        return []
    code, why = "cpu-unknown", "nothing says whether the CPU has all that programs use at the source"
    if lacks is not None:
        code, why = "cpu-differs", f"the CPU lacks what programs may use at the source: {' '.join(lacks)}"
    return [_judge(at)(code, at.destination.node, why, _remedy(at))]


def _lacks(here: NodeFacts, there: NodeFacts) -> tuple[str, ...] | None:
    """What the second CPU has not of the first; by the kernels' own word where both say it. None: not known."""
    if here.cpt_caps is not None and there.cpt_caps is not None:
        missing = here.cpt_caps & ~there.cpt_caps
        return tuple(name for bit, name in CAPS.items() if missing >> bit & 1)
    if here.cpu is None or there.cpu is None:
        return None
    if here.cpu.machine != there.cpu.machine:
        return (here.cpu.machine,)
    if not here.cpu.flags or not there.cpu.flags:
        return None
    return tuple(sorted({*here.cpu.flags} - {*there.cpu.flags} - KERNELS))


def _image(at: Situation) -> list[Finding]:
    """A kernel takes up images of its own version and of earlier ones, not of later."""
    here, there = at.source.facts.cpt_version, at.destination.facts.cpt_version
    if not _staged(at) or (here is not None and there is not None and here <= there):
        return []
    why = "nothing says whether the kernel takes up what the source's writes down ('vzcptcheck version')"
    if here is not None and there is not None:
        why = f"the kernel takes up images of version {there} and before; the source's writes version {here}"
    return [_judge(at)("image-version", at.destination.node, why, _remedy(at))]


def _ipv6(at: Situation) -> list[Finding]:
    here, there = at.source.facts.ipv6, at.destination.facts.ipv6
    addressed = any(address.version == 6 for address in addresses(at.config))  # noqa: PLR2004
    if there is Known.YES or (here is Known.NO and not addressed):
        return []
    why = "may have" if there is Known.UNKNOWN else "has"
    return [
        error(
            "ipv6-missing",
            at.destination.node,
            f"the kernel {why} no IPv6 (/proc/net/if_inet6), and the container may use it",
            f"load it ('modprobe ipv6' on {at.destination.node}), or {_otherwise(at)}",
        )
    ]


# --- mounts


def _mounts(at: Situation) -> list[Finding]:
    """What is mounted into the container from outside, and does not go along."""
    if not at.online:
        return []
    facts, found = at.source.facts, []
    used = {mount.point: mount.used for mount in facts.outside}
    for point in dict.fromkeys(m.point for m in facts.mounts if _from_outside(m, at.source)):
        subject = f"{facts.node}:{point}"
        match used.get(point, Known.UNKNOWN):
            case Known.NO:
                found.append(
                    warning(
                        "mount-stays",
                        subject,
                        "mounted into the container from outside, and not brought along",
                        "see that an action script mounts it at the destination, or do without it",
                    )
                )
            case known:
                sure = "has files open" if known is Known.YES else "may have files open"
                found.append(
                    error(
                        "mount-in-use",
                        subject,
                        f"the container {sure} on what is mounted there from outside, and its memory cannot be taken up"
                        " without them",
                        "end what uses it, unmount it, or leave out --online",
                    )
                )
    return found


def _from_outside(mount: Mount, side: Side) -> bool:
    """Whether it is below the root area, in the node's own namespace, and not of the private area itself."""
    if mount.elsewhere or not mount.point.startswith(side.facts.resolved(side.root) + "/"):
        return False
    private = side.facts.resolved(side.private)
    base = side.facts.mount_under(private)
    if base is None or mount.device != base.device:
        return True
    own = base.root.rstrip("/") + private[len(base.point.rstrip("/")) :]
    return not (mount.root + "/").startswith(own.rstrip("/") + "/")


# --- room


def _dump_bytes(at: Situation) -> int | None:
    """How large the dump is, or may be."""
    if not at.online:
        return at.container.dump_bytes
    memory = at.container.resident_bytes
    if memory is None:
        memory = _limit(at.config)
    return None if memory is None else int(memory * SPARE) + SPARE_BYTES


def _limit(config: str) -> int | None:
    """What its PHYSPAGES (BARRIER:LIMIT, or one for both) let it have; None: without a limit that says anything."""
    word = (value(config, "PHYSPAGES") or "").rpartition(":")[2].strip().upper()
    number, suffix = (word[:-1], word[-1]) if word[-1:].isalpha() else (word, "")
    if suffix not in SUFFIXES or not number.isascii() or not number.isdecimal():
        return None
    limit = int(number) * SUFFIXES[suffix]
    return limit if limit < ENDLESS_BYTES else None


def _dump_fits(at: Situation) -> list[Finding]:
    """A suspended container's dump is at the source already."""
    needed = _dump_bytes(at)
    if needed is None:
        why = "nothing says how large the container's memory is"
        return [error("size-unknown", f"{at.source.node}:{at.ctid}", why, "gather the facts again")]
    found = []
    for side in (at.source, at.destination) if at.online else (at.destination,):
        subject, free = f"{side.node}:{side.dumpdir}", _free(side)
        files = _beside(at) if side is at.destination else 0
        if free is None:
            why = "nothing says how much room is there for the container's memory"
            found.append(error("size-unknown", subject, why, "gather the facts again"))
        elif free < needed + files:
            what = "memory and files" if files else "memory"
            why = f"{needed + files >> 20} MiB are needed there for the container's {what}, and {free >> 20} are free"
            found.append(error("too-small", subject, why, "make room, or let DUMPDIR lead elsewhere"))
    return found


def _beside(at: Situation) -> int:
    """What is copied onto the filesystem that the dump comes to, too."""
    facts, to = at.destination.facts, at.destination
    if (
        at.handed_over
        or to.device is not None
        or facts.mount_under(to.private) != facts.mount_under(to.dumpdir)
    ):
        return 0
    needs = room.used(at)  # not known: another check says so
    return 0 if needs is None else int(needs[0] * room.SPARE)


def _free(side: Side) -> int | None:
    mount = side.facts.mount_under(side.dumpdir)
    return next(
        (r.free_bytes for r in side.facts.rooms if mount is not None and r.point == mount.point), None
    )


def _memory_fits(at: Situation) -> list[Finding]:
    needed, free, node = _dump_bytes(at), at.destination.facts.available_bytes, at.destination.node
    if free is None:
        why = "nothing says how much memory is free there"
        return [error("size-unknown", node, why, "gather the facts again")]
    if needed is not None and free < needed:
        why = f"the container needs {needed >> 20} MiB of memory there, and {free >> 20} are free"
        return [error("memory-short", node, why, "free some, or choose another node")]
    return []
