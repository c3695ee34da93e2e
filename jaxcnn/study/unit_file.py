"""The unit file: an immutable bundle of results, as lines of JSON.

    {"format": "jaxcnn units 1", "study": …, "provenance": {…}, "records": 2}
    {"cell": 0, "first": 0, "count": 4, "counts": {"global": 3, "spurious": 1},
     "steps": {"global": [3, 240, 19600, 96, [0, …, 3]], …},
     "lane_steps": 512, "stream": "…", "outcomes": "eJxjZGRk…"}
    …
    {"sha256": "…"}

A record is a range of restarts of one cell. `steps` holds, by outcome, the number of
restarts, the sum of their steps, the sum of squares, the largest, and restarts by bit length.
`outcomes` is one byte a restart (`Outcome` values), through zlib and base64. The last line is
the SHA-256 of all bytes before it. A file is called `<lowest cell>-<24 digits of that>.jsonl`:
the same content has the same name everywhere, so writing it twice is writing it once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.base.outcome import FINAL, Outcome
from jaxcnn.study.step_statistics import Row, StepStatistics, rows_of_each
from jaxcnn.study.unit import MOST_RESTARTS, Provenance, Task, UnitResult

FORMAT = "jaxcnn units 1"
MOST_BYTES = 2**30
BLOCK = 2**16
"""Records end at multiples of this, so that overlapping ones mostly have equal ranges."""

_TOGETHER, _RESULTS = 2**16, 2**10  # restarts and results of which lines are made at once
_LOWEST, _HIGHEST = int(FINAL[0]), int(FINAL[-1])
_UNDECIDED = Outcome.UNDECIDED.name.lower()
_NAMES = tuple(outcome.name.lower() for outcome in FINAL)
_HEADER = {"format", "study", "provenance", "records"}
_RECORD = {"cell", "first", "count", "counts", "steps", "lane_steps", "stream", "outcomes"}
_JSON = json.JSONEncoder(allow_nan=False)
_STEM = b'{"sha256": "'
_TAIL = len(_STEM) + 64 + len(b'"}\n')


class DamagedError(Exception):
    """A unit file is not what its checksum says, or does not say what a unit file must."""


class Record(NamedTuple):
    """What a reader keeps of one record: the range, its counts, and where the rest lies.

    Attributes:
        task: cell and restarts.
        counts: restarts by outcome, in the order of `FINAL`.
        offset: byte at which the record's line starts.
        length: bytes of the line.
        lane_steps: restart-steps paid.
        stream: name of the random numbers.
        total: sum of the steps of decided restarts.
        most: largest number of their steps.
    """

    task: Task
    counts: tuple[int, ...]
    offset: int
    length: int
    lane_steps: int
    stream: str
    total: int
    most: int


class Line(NamedTuple):
    """A record on its way to a file: its line, and what a reader keeps of it but its place."""

    task: Task
    counts: tuple[int, ...]
    text: bytes
    lane_steps: int
    stream: str
    total: int
    most: int


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A unit file that has passed every check.

    Attributes:
        study: identity of the study it belongs to.
        provenance: what computed it.
        records: its records, in order.
        name: the name its content has.
    """

    study: str
    provenance: Provenance
    records: tuple[Record, ...]
    name: str


class Detail(NamedTuple):
    """The rest of a record: step statistics, and outcomes in index order (uint8)."""

    steps: StepStatistics
    outcomes: NDArray[np.uint8]

    def fits(self, result: UnitResult) -> bool:
        """Whether a result has the same outcomes after the same steps."""
        steps = StepStatistics.of(result.outcomes, result.steps)
        return steps == self.steps and np.array_equal(self.outcomes, result.outcomes)


def encode(study: str, provenance: Provenance, results: Iterable[UnitResult]) -> bytes:
    """The bytes of a unit file that holds some results."""
    return encode_lines(study, provenance, list(lines(results)))[0]


def lines(results: Iterable[UnitResult]) -> Iterator[Line]:
    """Each result as a line, or several; they are taken some at a time, as they come.

    Raises:
        InputError: if outcomes are not final `Outcome` values.
    """
    waiting: list[UnitResult] = []
    restarts = 0
    for result in results:
        for part in _blocks(result):
            waiting.append(part)
            restarts += part.task.count
            if restarts >= _TOGETHER or len(waiting) == _RESULTS:
                yield from _lines(waiting)
                waiting, restarts = [], 0
    if waiting:
        yield from _lines(waiting)


def encode_lines(
    study: str, provenance: Provenance, lines: Sequence[Line]
) -> tuple[bytes, UnitFile]:
    """The bytes of a unit file, and what `decode` makes of them, without reading them again."""
    words = {"format": FORMAT, "study": study, "provenance": provenance.words()}
    header = _dump({**words, "records": len(lines)}).encode("ascii")
    body = b"\n".join((header, *(line.text for line in lines), b""))
    digest, offset, records = hashlib.sha256(body).hexdigest(), len(header) + 1, []
    for task, counts, text, paid, stream, total, most in lines:
        records.append(Record(task, counts, offset, len(text), paid, stream, total, most))
        offset += len(text) + 1
    return body + _seal(digest), UnitFile(study, provenance, tuple(records), _name(digest, records))


def decode(content: bytes) -> UnitFile:
    """Read a unit file and check all of it.

    Raises:
        DamagedError: in one line, if anything is not as it must be.
    """
    body = content[:-_TAIL]
    digest = hashlib.sha256(body).hexdigest()
    if len(content) <= _TAIL or content[-_TAIL:] != _seal(digest):
        raise DamagedError("its checksum does not fit its content")
    try:
        lines = body.split(b"\n")
        header = json.loads(lines[0])
        if set(header) != _HEADER or header["format"] != FORMAT:
            raise DamagedError(f"it is not of the format {FORMAT!r}")
        if header["records"] != len(lines) - 2 or lines[-1]:
            raise DamagedError("it does not hold the records it announces")
        provenance = Provenance(**header["provenance"])
        records = tuple(_read(lines[1:-1], len(lines[0]) + 1))
        return UnitFile(str(header["study"]), provenance, records, _name(digest, records))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(f"it cannot be understood: {_line(error)}") from None


def detail(line: bytes, task: Task) -> Detail:
    """The rest of a record from its line.

    Raises:
        DamagedError: if the line is not that of the task, or contradicts itself.
    """
    try:
        words = json.loads(line)
        if Task(words["cell"], words["first"], words["count"]) != task:
            raise DamagedError(f"it has changed where {task} should be")
        unpack = zlib.decompressobj()
        data = unpack.decompress(base64.b64decode(words["outcomes"], validate=True), task.count)
        outcomes = np.frombuffer(data, np.uint8)
        if outcomes.size != task.count or unpack.decompress(unpack.unconsumed_tail, 1):
            raise DamagedError(f"it has too few or too many outcomes for {task}")
        if Counts.of(outcomes).as_dict() != {name: words["counts"].get(name, 0) for name in _NAMES}:
            raise DamagedError(f"its outcomes contradict its counts for {task}")
        return Detail(StepStatistics.from_words(words["steps"]), outcomes)
    except (ValueError, TypeError, KeyError, RecursionError, zlib.error, binascii.Error) as error:
        raise DamagedError(f"it cannot be understood: {_line(error)}") from None


def steps_of(line: bytes) -> StepStatistics:
    """The step statistics of a record from its line, without its outcomes.

    Raises:
        DamagedError: if the line cannot be understood.
    """
    try:
        return StepStatistics.from_words(json.loads(line)["steps"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(f"it cannot be understood: {_line(error)}") from None


def is_named(content: bytes, name: str) -> bool:
    """Whether the content is still what the file of this name was checked to hold."""
    body = content[:-_TAIL]
    digest = hashlib.sha256(body).hexdigest()
    return name.endswith(f"-{digest[:24]}.jsonl") and content[-_TAIL:] == _seal(digest)


def _blocks(result: UnitResult) -> Sequence[UnitResult]:
    """Cut a result at multiples of `BLOCK`; lane-steps go with the steps they were paid for."""
    task, paid = result.task, result.lane_steps
    if task.first // BLOCK == (task.first + task.count - 1) // BLOCK:
        return (result,)
    cuts = [*range(task.first // BLOCK * BLOCK + BLOCK, task.end, BLOCK), task.end]
    start, useful, parts = 0, int(np.sum(result.steps, dtype=np.uint64)), []
    for cut in cuts:
        stop = cut - task.first
        own = slice(start, stop)
        steps = int(np.sum(result.steps[own], dtype=np.uint64))
        share = paid if stop == task.count else paid * steps // max(useful, 1)
        part = Task(task.cell, task.first + start, stop - start)
        parts.append(
            UnitResult(part, result.outcomes[own], result.steps[own], share, result.stream)
        )
        start, paid, useful = stop, paid - share, useful - steps
    return parts


def _lines(parts: Sequence[UnitResult]) -> Iterator[Line]:
    """What `lines` yields for results that end at blocks, all at once."""
    sizes = [part.task.count for part in parts]
    outcomes = np.concatenate([part.outcomes for part in parts])
    if not _LOWEST <= int(outcomes.min()) <= int(outcomes.max()) <= _HIGHEST:
        raise InputError("outcomes", int(outcomes.max()), "must hold final Outcome values")
    steps = rows_of_each(outcomes, np.concatenate([part.steps for part in parts]), sizes)
    data, end = outcomes.data, 0
    for part, own in zip(parts, steps, strict=True):
        start, end = end, end + part.task.count
        counts = tuple([own[name][0] if name in own else 0 for name in _NAMES])
        text = _text(part, own, data[start:end])
        yield Line(part.task, counts, text, int(part.lane_steps), part.stream, *_decided(own))


def _text(result: UnitResult, steps: dict[str, Row], outcomes: memoryview) -> bytes:
    # Outcomes have runs and no other repetition to look for: a seventh of the time this way.
    pack = zlib.compressobj(strategy=zlib.Z_RLE)
    packed = binascii.b2a_base64(pack.compress(outcomes) + pack.flush(), newline=False)
    # JSON put together by hand, in a third of the time: whole numbers look the same in Python.
    task = result.task
    counts = ", ".join([f'"{name}": {row[0]}' for name, row in steps.items()])
    numbers = ", ".join([f'"{name}": {_form(len(row)) % (*row,)}' for name, row in steps.items()])
    return (
        f'{{"cell": {int(task.cell)}, "first": {int(task.first)}, "count": {int(task.count)}, '
        f'"counts": {{{counts}}}, "steps": {{{numbers}}}, '
        f'"lane_steps": {int(result.lane_steps)}, "stream": {_quoted(result.stream)}, '
        f'"outcomes": "{packed.decode("ascii")}"}}'
    ).encode("ascii")


@lru_cache(maxsize=16)
def _quoted(word: str) -> str:
    return _JSON.encode(word)


@cache
def _form(length: int) -> str:
    """How the words of steps look whose row has this length."""
    return f"[%d, %d, %d, %d, [{', '.join(['%d'] * (length - 4))}]]"


def _read(lines: Sequence[bytes], offset: int) -> Iterator[Record]:
    for line in lines:
        words = json.loads(line)
        if words.keys() != _RECORD or not words["counts"].keys() <= set(_NAMES):
            raise ValueError("a record has other keys than it must have")
        counts = tuple(words["counts"].get(name, 0) for name in _NAMES)
        task = Task(words["cell"], words["first"], words["count"])
        if any(type(n) is not int or n < 0 for n in (task.cell, task.first, task.count, *counts)):
            raise ValueError("a record counts in something else than whole numbers")
        if task.count < 1 or sum(counts) != task.count or task.end > MOST_RESTARTS:
            raise ValueError(f"the counts of {task} are impossible")
        lane_steps, stream = words["lane_steps"], words["stream"]
        if type(lane_steps) is not int or not 0 <= lane_steps < 2**63 or type(stream) is not str:
            raise ValueError(f"the lane-steps or the stream of {task} are impossible")
        steps = StepStatistics.from_words(words["steps"])
        if counts != tuple(steps[outcome].restarts for outcome in FINAL):
            raise ValueError(f"the steps of {task} contradict its counts")
        total, most = _decided(steps.words())
        if total >= 2**63:
            raise ValueError(f"the steps of {task} are impossible")
        yield Record(task, counts, offset, len(line), lane_steps, stream, total, most)
        offset += len(line) + 1


def _decided(steps: dict[str, Row]) -> tuple[int, int]:
    """Sum and largest of the steps of decided restarts."""
    total = most = 0
    for name, row in steps.items():
        if name != _UNDECIDED:
            total, most = total + row[1], max(most, row[3])
    return total, most


def _name(digest: str, records: Sequence[Record]) -> str:
    lowest = min((record.task.cell for record in records), default=0)
    return f"{lowest:07d}-{digest[:24]}.jsonl"


def _seal(digest: str) -> bytes:
    return _STEM + digest.encode("ascii") + b'"}\n'


def _dump(words: dict[str, Any]) -> str:
    return _JSON.encode(words)


def _line(error: Exception) -> str:
    return f"{type(error).__name__} {' '.join(str(error).split())[:120]}"
