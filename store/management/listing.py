"""Stores as text and as JSON, for the command line."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from head2toe.store.console.text import days, readable, table
from head2toe.store.format.damage import store_name
from head2toe.store.format.key import flatten
from head2toe.store.management.maintenance import Collected, Entry, Info
from head2toe.store.management.verify import Verification


def entry_document(entry: Entry) -> dict[str, Any]:
    """Describe a store as JSON."""
    spec = entry.spec
    return {
        "key": entry.key,
        "path": str(entry.path),
        "state": entry.state,
        "note": entry.note,
        "bytes": entry.nbytes,
        "used": entry.used,
        "rows": spec.n_rows if spec else None,
        "features": spec.layers.n_features if spec else None,
        "format": spec.format if spec else None,
        "identity": dict(spec.identity) if spec else None,
    }


def entries_text(entries: Sequence[Entry]) -> str:
    """Describe stores as `ls` does, a line for each."""
    rows = []
    for entry in entries:
        # A store that was written through the library may name its backbone by a word.
        identity = flatten(entry.spec.identity) if entry.spec else {}
        backbone = identity.get("backbone.architecture", identity.get("backbone", "?"))
        rows.append(
            (
                entry.key[:12],
                str(backbone),
                str(identity.get("target_size", "?")),
                _view(identity),
                f"{entry.spec.n_rows:,}" if entry.spec else "?",
                f"{entry.spec.layers.n_features:,}" if entry.spec else "?",
                readable(entry.nbytes),
                days(time.time() - entry.used),
                entry.state if not entry.note else f"{entry.state}: {entry.note}",
            )
        )
    return table(("key", "backbone", "target size", "view", "rows", "features", "size", "last used", "state"), rows)


def _view(identity: Mapping[str, Any]) -> str:
    """Name the view of the images that a store is of: `plain`, `flip`, `crop#2`."""
    number = identity.get("view.number")
    return f"{identity.get('view.kind', 'plain')}{f'#{number}' if number else ''}"


def info_document(info: Info) -> dict[str, Any]:
    """Describe all there is to know of a store as JSON."""
    return entry_document(info.entry) | {
        "fields": dict(info.fields),
        "provenance": dict(info.provenance),
        "dtypes": dict(info.dtypes),
        "float32_because": dict(info.float32_because),
        "reused": info.reused,
    }


def info_text(info: Info) -> str:
    """Describe a store as `info` does: its state, identity and provenance, and the layers kept in float32."""
    lines = [
        ("path", str(info.entry.path)),
        ("key", info.entry.key),
        ("state", f"{info.entry.state} {info.entry.note}".strip()),
        ("size", readable(info.entry.nbytes)),
    ]
    if (spec := info.entry.spec) is not None:
        lines.append(
            ("shape", f"{spec.n_rows:,} rows x {spec.layers.n_features:,} features, {len(spec.layers)} layers")
        )
        lines.append(("format", f"{spec.format}, {spec.n_blocks} blocks of {spec.rows_per_block} rows"))
    lines += [(name, _short(value)) for name, value in info.fields.items()]
    lines += [(f"recorded: {name}", _short(value)) for name, value in info.provenance.items()]
    lines.append(("rows reused from other stores", str(info.reused)))
    lines += [(f"float32: {layer}", reason) for layer, reason in info.float32_because.items()]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines)


def verification_document(verification: Verification) -> dict[str, Any]:
    """Describe what `verify` established as JSON; faults are called problems there."""
    document = {"problems" if name == "faults" else name: value for name, value in asdict(verification).items()}
    problems = [asdict(fault) | {"file": str(fault.file)} for fault in verification.faults]
    bad_blocks = list(verification.bad_blocks)
    return document | {"path": str(verification.path), "problems": problems, "bad_blocks": bad_blocks}


def verification_text(verification: Verification) -> str:
    """Describe what `verify` established: how much was read, what is wrong, what to do."""
    faults = verification.faults
    read = f"{verification.key[:12]}  {verification.n_files} files, {readable(verification.nbytes)} read"
    lines = [f"{read}: {len(faults) or 'no'} problem{'' if len(faults) == 1 else 's'}"]
    lines += [f"  {fault.file}: {fault.what}" for fault in faults]
    if verification.pending:
        lines.append(f"  unfinished: row blocks to extract: {len(verification.pending)}; run the extraction again")
    if any(fault.unreadable for fault in faults):
        lines.append("  what can't be read just now stays as it is, for it may be whole: see to it, and verify again")
    if verification.repaired:
        lines.append("  bad blocks are marked: the next extraction of these images writes them anew")
    elif verification.damage:
        command = f"`head2toe store verify --repair {store_name(verification.path)}`"
        lines.append(f"  {command} marks the bad blocks for extraction anew")
    return "\n".join(lines)


def collected_document(collected: Collected) -> dict[str, Any]:
    """Describe what `gc` removed as JSON."""
    return {
        "leftovers": collected.leftovers,
        "removed": [entry_document(entry) | {"why": reason} for entry, reason in collected.removed],
        "in_use": [entry.key for entry in collected.in_use],
        "bytes": collected.nbytes,
    }


def collected_text(collected: Collected, *, dry_run: bool) -> str:
    """Describe what `gc` removed, or would remove, and what it left."""
    verb = "would free" if dry_run else "freed"
    lines = [f"{entry.key[:12]}  {readable(entry.nbytes)}, {reason}" for entry, reason in collected.removed]
    lines += [f"{entry.key[:12]}  stays: in use, or not yours to remove" for entry in collected.in_use]
    total = f"{verb} {readable(collected.nbytes)} ({readable(collected.leftovers)} of leftovers)"
    return "\n".join([*lines, total])


def _short(value: Any) -> str:
    """Write a value of an identity or a provenance in one line, a long list by its ends."""
    if isinstance(value, (list, tuple)) and len(value) > 6:
        return f"{len(value)}: {', '.join(map(str, value[:3]))}, … {value[-1]}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
