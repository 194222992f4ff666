"""What a bucket's refusals mean: whether to try again, and one line for who can mend it.

What the client library says is never passed on: it may quote a request, and with it a signature or a token.
"""

import re
from dataclasses import dataclass

from head2toe.store.common.errors import StoreError

_CODE = re.compile(r"<Code>(\w{1,60})</Code>|\"(?:reason|code)\": ?\"(\w{1,60})\"")
_STATUS = re.compile(r"status code: (\d{3})")
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired", "RequestNotYetValid"}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_METADATA = ("169.254.169.254", "metadata.google.internal", "169.254.170.2")
_AGAIN = "what was finished is kept, and the same command goes on"


class BucketError(StoreError):
    """A bucket refuses, isn't there, or doesn't answer."""


@dataclass(frozen=True)
class Refusal:
    """What an error of the client library means.

    Attributes
    ----------
    kind : {"absent", "taken", "again", "final"}
        No such object; an object of this name is there already; worth another try; hopeless.
    said : str
        What is wrong and what to do, for `BucketError`; of "again" only what is wrong.
    """

    kind: str
    said: str = ""


def refusal(error: Exception) -> Refusal:
    """Read an error that obstore raised."""
    text, name = str(error), type(error).__name__
    match = _CODE.search(text)
    code = next(filter(None, match.groups()), "") if match else ""
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    if code in _NO_BUCKET or "specified bucket does not exist" in text:
        return Refusal("final", "there is no such bucket: make it first, or look at its name and the region")
    if isinstance(error, FileNotFoundError):
        return Refusal("absent")
    if name == "AlreadyExistsError":
        return Refusal("taken")
    if code in _SKEWED:
        return Refusal("final", f"refuses the request's time ({code}): this machine's clock is wrong, set it")
    if any(address in text for address in _METADATA):
        return Refusal("final", "no credentials: none in the environment, and this platform gives none (docs/scale.md)")
    if name in ("PermissionDeniedError", "UnauthenticatedError") or status in (401, 403):
        why = code or status or "permission denied"
        return Refusal(
            "final", f"refuses ({why}): look at the credentials in the environment and at what they may do there"
        )
    if "BadScheme" in text:
        return Refusal("final", "the endpoint is http, not https: set AWS_ALLOW_HTTP=true if that is meant")
    if "redirect without LOCATION" in text:
        return Refusal("final", "redirects the request: the bucket is in another region, set AWS_REGION")
    return _of_status(status, code, text, name)


def _of_status(status: int, code: str, text: str, name: str) -> Refusal:
    """Tell what may pass from what stays, by the answer's status; no status at all is a network's fault."""
    if 300 <= status < 500 and status not in (408, 409, 425, 429):
        return Refusal("final", f"refuses the request ({code or status}): look at the region and the endpoint")
    if not status and name in ("NotSupportedError", "UnknownConfigurationKeyError", "InvalidPathError"):
        return Refusal("final", f"can't be used so ({name}): look at its URL and the settings in the environment")
    if status:
        return Refusal("again", code or f"status {status}")
    timed_out = "timed out" in text or "kind: Timeout" in text
    return Refusal("again", "no answer in time" if timed_out else "no connection")


def unreachable(url: str, why: str, seconds: float) -> BucketError:
    """Make the error of a bucket that did not answer for so many seconds."""
    return BucketError(
        f"{url}: tried for {seconds:.0f} s in vain ({why}): look at the network and the endpoint; {_AGAIN}"
    )
