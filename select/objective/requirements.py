"""Check that a data term or a penalty has every member that the solver will ask of it."""

import inspect
from typing import Any

from head2toe.store.common.errors import BadRequest


def require_members(term: Any, protocol: type) -> None:
    """Refuse a term of the objective that lacks members of its protocol, as skglm's solvers do.

    A member that a class merely inherits from the protocol has no body there, and counts as missing.

    Parameters
    ----------
    term : object
        The data term or the penalty that was handed in.
    protocol : type
        `Datafit` or `Penalty`.

    Raises
    ------
    BadRequest
        Members are missing, or the class was handed in instead of an instance. The message names the class, and what is
        missing.
    """
    kind = protocol.__name__.lower()
    if isinstance(term, type):
        raise BadRequest(f"the {kind} is the class {term.__name__} itself: hand in an instance of it")
    members = [name for name in vars(protocol) if not name.startswith("_")]
    missing = [name for name in members if not _has(term, name, protocol)]
    if missing:
        raise BadRequest(
            f"{kind} {type(term).__name__} lacks {', '.join(missing)}: {protocol.__module__}.{protocol.__name__} says "
            "what each of them does"
        )


def _has(term: Any, name: str, protocol: type) -> bool:
    return hasattr(term, name) and inspect.getattr_static(term, name, None) is not vars(protocol)[name]
