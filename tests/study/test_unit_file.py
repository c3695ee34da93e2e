import hashlib
import json

import numpy as np
import pytest
from fake_runner import HERE, FakeRunner, study
from hypothesis import given
from hypothesis import strategies as st

from jaxcnn.base.counts import Counts
from jaxcnn.base.errors import InputError
from jaxcnn.study import unit_file
from jaxcnn.study.run_directory import RunDirectory
from jaxcnn.study.step_statistics import StepStatistics
from jaxcnn.study.unit import Task, UnitResult
from jaxcnn.study.unit_file import BLOCK, DamagedError

STUDY = study()


def results(*tasks):
    return FakeRunner(undecided=0.1)([STUDY.cells[task.cell] for task in tasks], tasks)


def encoded(*tasks):
    return unit_file.encode(STUDY.id, HERE, results(*tasks))


def test_what_is_written_is_read():
    tasks = (Task(3, 0, 10), Task(0, 100, 257), Task(11, 2**33, 5))
    content = encoded(*tasks)
    unit = unit_file.decode(content)
    assert unit.study == STUDY.id
    assert unit.provenance == HERE
    assert unit.name.startswith("0000000-")
    for record, result in zip(unit.records, results(*tasks), strict=True):
        assert record.task == result.task
        assert record.counts == tuple(Counts.of(result.outcomes).as_dict().values())
        assert record.lane_steps == result.lane_steps
        line = content[record.offset : record.offset + record.length]
        found = unit_file.detail(line, record.task)
        assert np.array_equal(found.outcomes, result.outcomes)
        assert found.steps == StepStatistics.of(result.outcomes, result.steps)
        assert found.fits(result)


@given(st.integers(0, 2**17), st.sampled_from([1, 100, BLOCK, BLOCK + 5]))
def test_what_is_kept_of_a_written_file_is_what_is_read_of_it(first, count):
    written = results(Task(3, first, count), Task(1, 0, 10))
    content, unit = unit_file.encode_lines(STUDY.id, HERE, list(unit_file.lines(written)))
    assert unit_file.decode(content) == unit


def test_a_line_is_what_json_would_have_written():
    (one,) = results(Task(3, 7, 300))
    strange = UnitResult(one.task, one.outcomes, one.steps, 12, 'a "stream" of Å\n')
    for line in unit_file.lines([one, strange]):
        assert json.dumps(json.loads(line.text)).encode("ascii") == line.text
        assert json.loads(line.text)["stream"] == line.stream


@pytest.mark.parametrize("wrong", [0, 6, 255])
def test_outcomes_that_are_not_final_are_refused(wrong):
    one, two = results(Task(3, 0, 10), Task(4, 0, 10))
    two.outcomes[5] = wrong
    with pytest.raises(InputError, match="must hold final Outcome values") as caught:
        list(unit_file.lines([one, two]))
    assert caught.value.argument == "outcomes"


def test_results_without_final_outcomes_are_not_written(tmp_path):
    run = RunDirectory.create_or_open(tmp_path / "a", STUDY)
    (one,) = results(Task(3, 0, 10))
    one.outcomes[5] = 0
    with pytest.raises(InputError, match="final"):
        run.append([one], HERE)
    assert not list((tmp_path / "a" / "units").iterdir())


@pytest.mark.parametrize(
    ("words", "argument"),
    [
        ({"task": Task(0, 0, 9)}, "outcomes"),
        ({"task": Task(0, 0, 0)}, "task"),
        ({"task": Task(0, -1, 10)}, "task"),
        ({"task": Task(0, 2**40, 10)}, "task"),
        ({"outcomes": np.ones(10, np.int64)}, "outcomes"),
        ({"steps": np.ones(10, np.int32)}, "steps"),
        ({"steps": np.ones(9, np.uint32)}, "steps"),
        ({"stream": "x" * 201}, "stream"),
    ],
)
def test_results_of_another_shape_are_refused(words, argument):
    good = {"outcomes": np.ones(10, np.uint8), "steps": np.ones(10, np.uint32)}
    with pytest.raises(InputError) as caught:
        UnitResult(**{"task": Task(0, 0, 10), **good, **words})
    assert caught.value.argument == argument


def test_lines_are_made_as_results_come():
    asked = []

    def coming():
        for first in range(0, 5 * BLOCK, BLOCK):
            asked.append(first)
            yield from results(Task(3, first, BLOCK))

    made = unit_file.lines(coming())
    assert next(made).task == Task(3, 0, BLOCK)
    assert asked == [0]
    assert [line.task.first for line in made] == [BLOCK, 2 * BLOCK, 3 * BLOCK, 4 * BLOCK]


def test_the_format_is_plain_lines_of_json():
    lines = encoded(Task(3, 0, 10), Task(4, 0, 10)).decode("ascii").splitlines()
    header, first, second, seal = map(json.loads, lines)
    assert header == {
        "format": "jaxcnn units 1", "study": STUDY.id, "provenance": HERE.words(), "records": 2,
    }  # fmt: skip
    assert (first["cell"], first["first"], first["count"]) == (3, 0, 10)
    assert sum(first["counts"].values()) == 10
    assert second["cell"] == 4
    assert len(seal["sha256"]) == 64


@given(st.integers(0, 3 * BLOCK), st.integers(1, 2 * BLOCK + 5))
def test_records_end_at_blocks_and_lose_nothing(first, count):
    outcomes = np.resize(np.array([1, 2, 1, 5], dtype=np.uint8), count)
    whole = UnitResult(Task(0, first, count), outcomes, np.full(count, 7, np.uint32), 12345, "s")
    unit = unit_file.decode(unit_file.encode("x", HERE, [whole]))
    ends = [record.task.end for record in unit.records]
    assert ends[-1] == first + count
    assert all(end % BLOCK == 0 for end in ends[:-1])
    assert [record.task.first for record in unit.records] == [first, *ends[:-1]]
    assert sum(record.lane_steps for record in unit.records) == 12345
    assert np.sum([record.counts for record in unit.records]) == count


def test_the_name_is_that_of_the_content():
    assert encoded(Task(5, 0, 10)) == encoded(Task(5, 0, 10))
    names = {unit_file.decode(encoded(Task(5, 0, n))).name for n in (10, 11, 10)}
    assert len(names) == 2
    content = encoded(Task(5, 0, 10))
    name = unit_file.decode(content).name
    assert unit_file.is_named(content, name)
    assert not unit_file.is_named(content.replace(b'"count": 10', b'"count": 11'), name)
    assert not unit_file.is_named(encoded(Task(5, 0, 11)), name)


def test_every_flipped_bit_is_seen():
    content = encoded(Task(3, 0, 10))
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            with pytest.raises(DamagedError):
                unit_file.decode(bytes(damaged))


def test_every_truncation_and_extension_is_seen():
    content = encoded(Task(3, 0, 10))
    for end in range(len(content)):
        with pytest.raises(DamagedError):
            unit_file.decode(content[:end])
        with pytest.raises(DamagedError):
            unit_file.decode(content[end:] + content[: end or 1])
    for more in (b"\n", b"x", content):
        with pytest.raises(DamagedError):
            unit_file.decode(content + more)


def sealed(lines):
    body = "".join(line + "\n" for line in lines).encode()
    return body + unit_file._seal(hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize(
    "change",
    [
        lambda header, record: header.update(format="jaxcnn units 2"),
        lambda header, record: header.update(records=2),
        lambda header, record: header.update(more=2),
        lambda header, record: header.pop("provenance"),
        lambda header, record: header["provenance"].update(device=5),
        lambda header, record: header["provenance"].update(extra="x"),
        lambda header, record: record.update(cell=-1),
        lambda header, record: record.update(cell=True),
        lambda header, record: record.update(first=0.5),
        lambda header, record: record.update(first=2**50),
        lambda header, record: record.update(count=0),
        lambda header, record: record.update(count=11),
        lambda header, record: record["counts"].update({"global": 7.5}),
        lambda header, record: record["counts"].update(local=0),
        lambda header, record: record.update(counts=[10]),
        lambda header, record: record.update(lane_steps=-1),
        lambda header, record: record.update(lane_steps=2**70),
        lambda header, record: record.update(stream=None),
        lambda header, record: record.pop("outcomes"),
    ],
)
def test_a_right_checksum_does_not_excuse_nonsense(change):
    lines = encoded(Task(3, 0, 10)).decode().splitlines()
    header, record = json.loads(lines[0]), json.loads(lines[1])
    assert unit_file.decode(sealed([json.dumps(header), json.dumps(record)])).records
    change(header, record)
    with pytest.raises(DamagedError):
        unit_file.decode(sealed([json.dumps(header), json.dumps(record)]))


@pytest.mark.parametrize("line", ["[" * 100_000, "null", "[]", "1" * 5000, "NaN", "", "{}", '"x"'])
def test_sealed_noise_is_refused(line):
    with pytest.raises(DamagedError):
        unit_file.decode(sealed([line]))
    header = encoded(Task(3, 0, 10)).decode().splitlines()[0]
    with pytest.raises(DamagedError):
        unit_file.decode(sealed([header, line]))


def test_outcomes_that_contradict_their_counts_are_refused():
    task = Task(3, 0, 10)
    record = json.loads(encoded(task).splitlines()[1])
    other = json.loads(encoded(Task(4, 50, 10)).splitlines()[1])
    short = json.loads(encoded(Task(3, 0, 9)).splitlines()[1])
    long = json.loads(encoded(Task(3, 0, 11)).splitlines()[1])
    assert unit_file.detail(json.dumps(record).encode(), task)
    for outcomes in (other["outcomes"], short["outcomes"], long["outcomes"], "", "!", "AAAA", 5):
        with pytest.raises(DamagedError):
            unit_file.detail(json.dumps({**record, "outcomes": outcomes}).encode(), task)
    with pytest.raises(DamagedError):
        unit_file.detail(json.dumps(other).encode(), task)
