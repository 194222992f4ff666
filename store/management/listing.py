"""Stores as text and as JSON, for the command line."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from head2toe.store.common.text import days, readable, table
from head2toe.store.format.key import flatten
from head2toe.store.management.maintenance import Collected, Entry, Info
from head2toe.store.management.verify import Verification


def entry_document(entry: Entry) -> dict[str, Any]:
    """A store as JSON."""
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
    """`ls`: a line a store."""
    rows = []
    for entry in entries:
        # Stores of one's own making may name their backbone by a word.
        identity = flatten(entry.spec.identity) if entry.spec else {}
        backbone = identity.get("backbone.architecture", identity.get("backbone", "?"))
        rows.append(
            (
                entry.key[:12],
                str(backbone),
                str(identity.get("target_size", "?")),
                f"{entry.spec.n_rows:,}" if entry.spec else "?",
                f"{entry.spec.layers.n_features:,}" if entry.spec else "?",
                readable(entry.nbytes),
                days(time.time() - entry.used),
                entry.state if not entry.note else f"{entry.state}: {entry.note}",
            )
        )
    return table(("key", "backbone", "target size", "rows", "features", "size", "last used", "state"), rows)


def info_document(info: Info) -> dict[str, Any]:
    """Everything about a store as JSON."""
    return entry_document(info.entry) | {
        "fields": dict(info.fields),
        "provenance": dict(info.provenance),
        "dtypes": dict(info.dtypes),
        "float32_because": dict(info.float32_because),
        "reused": info.reused,
    }


def info_text(info: Info) -> str:
    """Everything about a store: state, every field of its key, what was recorded beside it, layers kept in float32."""
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
    lines += [(f"float32: {layer}", why) for layer, why in info.float32_because.items()]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in lines)


def verification_document(found: Verification) -> dict[str, Any]:
    """`verify` as JSON."""
    problems = [asdict(problem) | {"file": str(problem.file)} for problem in found.problems]
    return asdict(found) | {"path": str(found.path), "problems": problems, "bad_blocks": list(found.bad_blocks)}


def verification_text(found: Verification) -> str:
    """`verify`: what was read, what is wrong, what to do."""
    read = f"{found.key[:12]}  {found.n_files} files, {readable(found.nbytes)} read"
    lines = [f"{read}: {len(found.problems) or 'no'} problem{'' if len(found.problems) == 1 else 's'}"]
    lines += [f"  {problem.file}: {problem.what}" for problem in found.problems]
    if found.pending:
        lines.append(f"  unfinished: row blocks to extract: {len(found.pending)}; run the extraction again")
    if found.problems and found.repaired:
        lines.append("  bad blocks are marked: the next extraction of these images writes them anew")
    elif found.problems:
        lines.append("  --repair marks the bad blocks for extraction anew")
    return "\n".join(lines)


def collected_document(done: Collected) -> dict[str, Any]:
    """`gc` as JSON."""
    return {
        "leftovers": done.leftovers,
        "removed": [entry_document(entry) | {"why": why} for entry, why in done.removed],
        "in_use": [entry.key for entry in done.in_use],
        "bytes": done.nbytes,
    }


def collected_text(done: Collected, *, dry_run: bool) -> str:
    """`gc`: what was removed and what stayed."""
    verb = "would free" if dry_run else "freed"
    lines = [f"{entry.key[:12]}  {readable(entry.nbytes)}, {why}" for entry, why in done.removed]
    lines += [f"{entry.key[:12]}  stays: in use, or not yours to remove" for entry in done.in_use]
    return "\n".join([*lines, f"{verb} {readable(done.nbytes)} ({readable(done.leftovers)} of leftovers)"])


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)) and len(value) > 6:
        return f"{len(value)}: {', '.join(map(str, value[:3]))}, … {value[-1]}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
