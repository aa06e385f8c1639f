"""What is refused of work on files by the API itself, and what agents refuse in words that are known here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from zlh_api.agents.client import AgentRefused
from zlh_api.agents.patience_rules import WINDOW_S
from zlh_common.errors import ZlhError
from zlh_common.schema import file_refusals
from zlh_common.schema.file_refusals import REFUSALS, FileRefused

MAX_DETAIL_CHARS = 500
# Each has one code; `FileRefused` has one for each row of REFUSALS.
KINDS: dict[str, type[ZlhError]] = {
    kind.code: kind
    for kind in vars(file_refusals).values()
    if isinstance(kind, type) and issubclass(kind, ZlhError) and kind is not ZlhError
}


class SearchEmpty(ZlhError):
    """A search says neither a name nor a text to look for."""

    code, status = "search_empty", 422

    def __init__(self) -> None:
        super().__init__("Say what to look for: `name`, `text`, or both.")


class TransferTooSlow(ZlhError):
    """Less than a kilobyte a second came of a body, or was taken of an answer."""

    code, status, retryable = "transfer_too_slow", 408, True

    def __init__(self, moved_bytes: int) -> None:
        super().__init__(f"Only {moved_bytes} bytes moved in {WINDOW_S:g} s, and what is that slow is ended.")


class BodyCutOff(ZlhError):
    """The body ended before as much had come as was announced."""

    code, status = "body_cut_off", 400

    def __init__(self) -> None:
        super().__init__("The body ended before its end. What had come of an upload is kept; ask for its offset.")


@contextmanager
def telling_refusals() -> Iterator[None]:
    """Raise what an agent refuses of files as what it is; what is not known here stays AgentRefused."""
    try:
        yield
    except AgentRefused as error:
        known = find_known(error.agent_code, error.agent_detail)
        if known is None:
            raise
        raise known from error


def find_known(code: str, detail: str) -> ZlhError | None:
    """Return a refusal of files with the status that its code has here, and the agent's sentence; None for others."""
    if code in REFUSALS:
        error: ZlhError = FileRefused(code, path="")
    elif code in KINDS:
        error = KINDS[code].__new__(KINDS[code])
    else:
        return None
    # The sentence names what the agent knows; data beside it would be the agent's own.
    ZlhError.__init__(error, clean_detail(detail))
    return error


def clean_detail(text: str) -> str:
    """Return a stranger's sentence as one line of text of bounded length."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return shown[:MAX_DETAIL_CHARS] or "The agent says no more than that."
