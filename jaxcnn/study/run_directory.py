"""The run directory: what a study has computed, open to people and to other tools.

    runs/a/
        study.json          the study as understood, with a checksum
        provenance/*.json   what computed the units: versions, device, dtype, engine
        units/*.jsonl       immutable results (see `unit_file`)

There is no index file, lock or log: the units are the state. Any number of processes, on any
number of hosts, may add units at once. A unit file that is damaged, or belongs to another
study, counts as absent: it is named in `problems` and what it held is computed again.

Only closed index prefixes are counted: restarts [0, n) without a gap. Counting whatever has
finished would favour the outcomes that are reached quickly.
"""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import RunError
from jaxcnn.base.outcome import FINAL, Outcome
from jaxcnn.study import durable, unit_file
from jaxcnn.study.coverage import Flips, Overlap, Piece, closed_end, cover, flips_between, gaps
from jaxcnn.study.step_statistics import StepStatistics
from jaxcnn.study.study import Study
from jaxcnn.study.study_record import read_study_record, write_study_record
from jaxcnn.study.unit import Provenance, Task, UnitResult
from jaxcnn.study.unit_file import DamagedError, Detail, Line, Record, UnitFile
from jaxcnn.study.unit_index import Held, UnitIndex

STUDY = "study.json"
UNITS = "units"
PROVENANCE = "provenance"
_CACHED_BYTES = 2**26
_CACHED_COVERS = 1024
_UNDECIDED = FINAL.index(Outcome.UNDECIDED)


class Prefix(NamedTuple):
    """What is counted of one cell.

    Attributes:
        restarts: n, the restarts [0, n).
        counts: their outcomes.
        steps: their steps; of fewer restarts where records overlap in part.
    """

    restarts: int
    counts: Counts
    steps: StepStatistics


class _Source(NamedTuple):
    path: Path
    name: str
    provenance: Provenance
    rank: tuple[str, str]  # which of two records of the same restarts is counted


class RunDirectory:
    """The results of one study: read, added to, and never changed.

    Make one with `open`, `create_or_open` or `together`.

    Attributes:
        path: the directory (the first, if there are several).
        study: the study, with the stopping rule in force.
    """

    def __init__(self, paths: Sequence[Path], study: Study) -> None:
        self.path = paths[0]
        self.study = study
        self._folders = [path / UNITS for path in paths]
        self._index = UnitIndex(len(study))
        self._sources: list[_Source] = []
        self._names: set[str] = set()
        self._seen: set[str] = set()
        self._refused: dict[str, tuple[tuple[int, ...], str]] = {}
        self._closed = np.zeros(len(study), dtype=np.int64)
        self._tally = np.zeros((len(study), len(FINAL)), dtype=np.int64)
        self._mean_steps = np.full(len(study), np.nan)
        self._most_steps = np.zeros(len(study), dtype=np.int64)
        self._cost = np.zeros((len(study), 2), dtype=np.int64)
        self._stale: set[int] = set()
        self._flips: dict[int, Flips] = {}
        self._contents: OrderedDict[Path, bytes] = OrderedDict()
        self._covers: dict[int, tuple[list[Piece], list[Overlap]]] = {}
        self._noted: set[str] = set()
        self.refresh()

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Open a run to read it; nothing is written.

        Raises:
            RunError: if there is none, or its study.json is damaged.
        """
        return cls([Path(path)], cls.study_at(path))

    @staticmethod
    def study_at(path: str | Path) -> Study:
        """The study of the run in a directory.

        Raises:
            RunError: if there is none, or its study.json is damaged.
        """
        return read_study_record(Path(path) / STUDY)

    @classmethod
    def together(cls, paths: Sequence[str | Path]) -> RunDirectory:
        """Open several runs of one study as if their units lay in one directory.

        Raises:
            RunError: if one cannot be opened, or they hold different studies.
        """
        folders = [Path(path) for path in paths]
        studies = [cls.study_at(folder) for folder in folders]
        for folder, study in zip(folders[1:], studies[1:], strict=True):
            _refuse_other(folders[0], studies[0], f"that in {folder}", study)
        return cls(folders, studies[0])

    @classmethod
    def create_or_open(cls, path: str | Path, study: Study) -> RunDirectory:
        """Open a run to add to it, or begin one.

        A run of the same cells with another stopping rule takes the rule of `study`.

        Raises:
            RunError: if the directory holds another study (saying what differs) or something
                else, or cannot be written.
        """
        folder = Path(path)
        begun = os.path.lexists(folder / STUDY)
        if not begun:
            _refuse_strangers(folder)
            durable.make_directory(folder)
            # Of several processes that begin here at once one writes it, the others read it.
            begun = not write_study_record(folder / STUDY, study, new=True)
        if begun:
            held = read_study_record(folder / STUDY)
            _refuse_other(folder, held, "the one asked for", study)
            if held.words() != study.words():
                write_study_record(folder / STUDY, study)
        durable.make_directory(folder / UNITS)
        durable.sweep_abandoned(folder / UNITS)
        return cls([folder], study)

    def append(self, results: Sequence[UnitResult], provenance: Provenance) -> None:
        """Put results on the disk as one unit file; they count from then on.

        Raises:
            RunError: if it cannot be written; then nothing has changed.
        """
        self.append_lines(list(unit_file.lines(results)), provenance)

    def append_lines(self, lines: Sequence[Line], provenance: Provenance) -> None:
        """`append` for results that are lines already."""
        if not lines:
            return
        content, unit = unit_file.encode_lines(self.study.id, provenance, lines)
        if provenance.id not in self._noted:
            durable.make_directory(self.path / PROVENANCE)
            text = json.dumps(provenance.words(), indent=2) + "\n"
            durable.write_whole(self.path / PROVENANCE / f"{provenance.id}.json", text.encode())
            self._noted.add(provenance.id)
        path = self._folders[0] / unit.name
        durable.write_whole(path, content)
        self._refused.pop(str(path), None)
        self._take(path, unit)

    def refresh(self) -> None:
        """Take in the unit files that others have added."""
        for folder in self._folders:
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except FileNotFoundError:
                continue
            except OSError as error:
                reason = durable.reason_of(error)
                raise RunError(f"{folder}: cannot be read: {reason}") from None
            for entry in entries:
                if entry.path not in self._seen and not entry.name.startswith("."):
                    self._read(entry)

    def _read(self, entry: os.DirEntry[str]) -> None:
        path = Path(entry.path)
        mark: tuple[int, ...] = ()
        try:
            status = entry.stat()
            mark = (status.st_size, status.st_mtime_ns, status.st_ino)
            if entry.path in self._refused and self._refused[entry.path][0] == mark:
                return
            self._refused.pop(entry.path, None)
            unit = unit_file.decode(durable.read_whole(path, unit_file.MOST_BYTES))
            if unit.study != self.study.id:
                raise DamagedError("it belongs to another study")
            if any(record.task.cell >= len(self.study) for record in unit.records):
                raise DamagedError("it counts cells that the study does not have")
        except (DamagedError, RunError, OSError) as error:
            if not os.path.lexists(path):
                return  # gone since the listing
            text = durable.reason_of(error) if isinstance(error, OSError) else str(error)
            reason = text.removeprefix(f"{path}: ")
            if not isinstance(error, DamagedError):
                mark = ()  # perhaps it can be read next time
            self._refused[entry.path] = (mark, f"{path}: ignored, {reason}")
            return
        self._take(path, unit)

    def _take(self, path: Path, unit: UnitFile) -> None:
        self._seen.add(str(path))
        if unit.name in self._names:
            return  # the same bytes under another name, or in another directory
        self._names.add(unit.name)
        number = len(self._sources)
        self._sources.append(
            _Source(path, unit.name, unit.provenance, (unit.provenance.id, unit.name))
        )
        cells = [record.task.cell for record in unit.records]
        alone = []
        for record, fresh in zip(unit.records, self._index.add(unit.records, number), strict=True):
            if fresh and record.task.first == 0:
                alone.append(record)
            else:
                self._stale.add(record.task.cell)
        if self._covers:
            for cell in cells:
                self._covers.pop(cell, None)
        self._count(alone)
        paid = [(record.lane_steps, record.task.count) for record in unit.records]
        np.add.at(self._cost, cells, np.array(paid, dtype=np.int64).reshape(-1, 2))

    def _count(self, records: Sequence[Record]) -> None:
        """Count cells of which there is one record alone, from the first restart on.

        It is what `_settle` finds, for many cells in a tenth of the time.
        """
        cells = [record.task.cell for record in records]
        decided = [record.task.count - record.counts[_UNDECIDED] for record in records]
        pairs = zip(records, decided, strict=True)
        self._closed[cells] = [record.task.count for record in records]
        self._tally[cells] = np.array([record.counts for record in records]).reshape(-1, len(FINAL))
        self._mean_steps[cells] = [record.total / n if n else np.nan for record, n in pairs]
        self._most_steps[cells] = [record.most for record in records]

    def closed(self) -> NDArray[np.int64]:
        """How many restarts are counted of each cell, shape (cells,).

        Raises:
            RunError: if units contradict each other, naming them.
        """
        self._settle_all()
        return self._closed

    def tally(self) -> NDArray[np.int64]:
        """Their outcomes, in the order of `FINAL`, shape (cells, 5).

        Raises:
            RunError: if units contradict each other, naming them.
        """
        self._settle_all()
        return self._tally

    def decided_steps(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Mean (NaN without any) and largest of the steps of decided restarts, shape (cells,).

        Of fewer restarts than are counted where records overlap in part, as in `Prefix`.

        Raises:
            RunError: if units contradict each other, naming them.
        """
        self._settle_all()
        return self._mean_steps, self._most_steps

    def prefix(self, cell: int) -> Prefix:
        """What is counted of one cell.

        Raises:
            RunError: if its units contradict each other, naming them.
        """
        if cell in self._stale:
            self._settle(cell)
        restarts = int(self._closed[cell])
        counts = _counts(self._tally[cell])
        parts = [
            self._steps(piece.record)
            for piece in self._pieces(cell)
            if piece.whole and piece.end <= restarts
        ]
        steps = parts[0] if len(parts) == 1 else sum(parts, StepStatistics())
        return Prefix(restarts, counts, steps)

    def outcomes(self, cell: int, first: int, count: int) -> NDArray[np.uint8]:
        """Outcomes of the restarts [first, first + count), in index order.

        Raises:
            RunError: if some are not there.
        """
        parts, end = [], first + count
        for piece in self._pieces(cell):
            low, high = max(piece.first, first), min(piece.end, end)
            if low < high:
                parts.append(self._slice(piece.record, low, high))
        found = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint8)
        if found.size != count:
            raise RunError(f"{self.path}: {Task(cell, first, count)} are not all there")
        return found

    def missing(self, cell: int, end: int) -> list[Task]:
        """The restarts below `end` that no unit has."""
        if not self._index.has(cell):
            return [Task(cell, 0, end)] if end > 0 else []
        return gaps(self._pieces(cell), cell, 0, end)

    def records(self, cell: int) -> list[tuple[Held, Provenance]]:
        """Every record of a cell with what computed it, overlapping ones included."""
        return [(held, self._sources[held.file].provenance) for held in self._index.of(cell)]

    def stream(self, cell: int) -> str | None:
        """The name of the random numbers of a cell; None if it has no units."""
        return next((held.stream for held in self._index.of(cell)), None)

    def costs(self) -> NDArray[np.int64]:
        """Lane-steps paid for each cell, and the restarts they were paid for, (cells, 2)."""
        return self._cost

    def detail(self, held: Held) -> Detail:
        """Step statistics and outcomes of a record.

        Raises:
            RunError: if its file has changed.
        """
        try:
            return unit_file.detail(self._line(held), held.task)
        except DamagedError as error:
            raise RunError(f"{self._sources[held.file].path}: {error}") from None

    def problems(self) -> list[str]:
        """What is wrong in the directory, a line each; empty if nothing is."""
        found = [reason for _, reason in self._refused.values()]
        for cell in sorted(self._stale):
            try:
                self._settle(cell)
            except RunError as error:
                found.append(str(error))
        if not self.flips().accepted:
            found.append(f"{self.path}: too many differences: {self.flips()}")
        return found

    def flips(self) -> Flips:
        """How records of different arithmetic compare where they overlap."""
        return sum(self._flips.values(), Flips())

    def sources(self) -> Iterable[tuple[str, bytes]]:
        """Name and content of every unit file that counts, read and checked once more."""
        for source in self._sources:
            yield source.name, self._content(source)

    def _settle_all(self) -> None:
        while self._stale:
            self._settle(next(iter(self._stale)))
        if not self.flips().accepted:
            raise RunError(f"{self.path}: too many differences: {self.flips()}")

    def _settle(self, cell: int) -> None:
        """Recount a cell, comparing records that overlap."""
        pieces, overlaps = self._cover(cell)
        self._flips.pop(cell, None)
        if overlaps or len(pieces) > 1:
            self._compare(cell, overlaps)
        closed = closed_end(pieces)
        tally, decided, total, most = [0] * len(FINAL), 0, 0, 0
        for piece in pieces:
            if piece.end <= closed:
                tally = [a + b for a, b in zip(tally, self._counted(piece), strict=True)]
                if piece.whole:
                    held = piece.record
                    decided += held.task.count - held.counts[_UNDECIDED]
                    total += held.total
                    most = max(most, held.most)
        self._closed[cell], self._tally[cell] = closed, tally
        self._mean_steps[cell] = total / decided if decided else np.nan
        self._most_steps[cell] = most
        self._stale.discard(cell)

    def _compare(self, cell: int, overlaps: Iterable[Overlap]) -> None:
        streams = {held.stream: held for held in self._index.of(cell)}
        if len(streams) > 1:
            one, two = list(streams.values())[:2]
            raise RunError(f"{self._both(one, two)} draw cell {cell} from different random numbers")
        total = Flips()
        for one, two, first, end in overlaps:
            found = flips_between(self._slice(one, first, end), self._slice(two, first, end))
            kinds = [self._sources[held.file].provenance.arithmetic for held in (one, two)]
            exact = kinds[0] == kinds[1]
            total += Flips() if exact else found
            if found.flipped if exact else not (found.accepted and total.accepted):
                where = Task(cell, first, end - first)
                raise RunError(
                    f"{self._both(one, two)} disagree on {found.flipped} of {where}: "
                    f"move the wrong one out of {UNITS}/ and run again"
                )
        if total.overlapping:
            self._flips[cell] = total

    def _both(self, one: Held, two: Held) -> str:
        names = sorted(str(self._sources[held.file].path) for held in (one, two))
        return " and ".join(dict.fromkeys(names))

    def _cover(self, cell: int) -> tuple[list[Piece], list[Overlap]]:
        if cell not in self._covers:
            if len(self._covers) >= _CACHED_COVERS:
                self._covers.clear()
            records = self._index.of(cell)
            self._covers[cell] = cover(records, lambda held: self._sources[held.file].rank)
        return self._covers[cell]

    def _pieces(self, cell: int) -> list[Piece]:
        return self._cover(cell)[0]

    def _counted(self, piece: Piece) -> Sequence[int]:
        if piece.whole:
            return piece.record.counts
        outcomes = self._slice(piece.record, piece.first, piece.end)
        counts: list[int] = np.bincount(outcomes, minlength=len(FINAL) + 1)[1:].tolist()
        return counts

    def _slice(self, held: Held, first: int, end: int) -> NDArray[np.uint8]:
        outcomes = self.detail(held).outcomes
        return outcomes[first - held.task.first : end - held.task.first]

    def _steps(self, held: Held) -> StepStatistics:
        try:
            return unit_file.steps_of(self._line(held))
        except DamagedError as error:
            raise RunError(f"{self._sources[held.file].path}: {error}") from None

    def _line(self, held: Held) -> bytes:
        content = self._content(self._sources[held.file])
        return content[held.offset : held.offset + held.length]

    def _content(self, source: _Source) -> bytes:
        if source.path in self._contents:
            self._contents.move_to_end(source.path)
            return self._contents[source.path]
        content = durable.read_whole(source.path, unit_file.MOST_BYTES)
        if not unit_file.is_named(content, source.name):
            raise RunError(f"{source.path}: has changed since it was opened; open the run again")
        self._contents[source.path] = content
        while len(self._contents) > 1 and sum(map(len, self._contents.values())) > _CACHED_BYTES:
            self._contents.popitem(last=False)
        return content


def _counts(row: NDArray[np.int64]) -> Counts:
    return Counts(**dict(zip(Counts.__slots__, map(int, row), strict=True)))


def _refuse_other(folder: Path, held: Study, which: str, study: Study) -> None:
    if held.id != study.id:
        raise RunError(f"{folder}: holds another study than {which}: {held.differences(study)}")


def _refuse_strangers(folder: Path) -> None:
    """Refuse to begin a run among files that are not ours."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{folder}: cannot be used: {durable.reason_of(error)}") from None
    strange = [name for name in names if name not in (STUDY, UNITS, PROVENANCE) and name[0] != "."]
    if strange:
        raise RunError(f"{folder}: is not empty and holds no study, but {strange[0]!r}")
