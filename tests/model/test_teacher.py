"""Teachers by sizes, by arrays and from files."""

import json
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from jaxcnn.base.errors import InputError
from jaxcnn.model.teacher import Teacher


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    k=st.integers(2, 60),
    p=st.integers(2, 30),
    share=st.floats(0.0, 1.0),
    norm=st.floats(1e-3, 1e3),
)
def test_sizes_are_those_asked_for(k, p, share, norm):
    teacher = Teacher(k=k, p=p, ratio=share * k, teacher_norm=norm)
    w, a = teacher.w_star, teacher.a_star
    assert (w.shape, a.shape) == ((p,), (k,))
    assert np.linalg.norm(w) == pytest.approx(1.0, rel=1e-14)
    assert np.linalg.norm(a) == pytest.approx(norm, rel=1e-12)
    assert a.sum() == pytest.approx(teacher.U, abs=1e-12 * norm * k)
    assert pytest.approx(norm**2) == teacher.A
    assert pytest.approx(share * k, rel=1e-12, abs=1e-300) == teacher.U**2 / teacher.A
    assert np.linalg.norm(a - a.mean()) == pytest.approx(teacher.B, abs=1e-12 * norm)
    assert len(set(w)) == p


def test_ends_of_the_range():
    even = Teacher(k=7, ratio=7.0, teacher_norm=2.0)
    np.testing.assert_allclose(even.a_star, 2.0 / math.sqrt(7.0))
    assert even.B == 0.0
    flat = Teacher(k=7, ratio=0.0)
    assert flat.U == 0.0
    assert len(set(flat.a_star)) == 7
    one = Teacher(k=1, ratio=1.0, teacher_norm=3.0)
    np.testing.assert_allclose(one.a_star, [3.0])
    angled = Teacher(k=3, ratio=1.0, teacher_angle=2.0)
    assert math.acos(angled.w_star.sum() / math.sqrt(6)) == pytest.approx(2.0)
    assert np.linalg.norm(angled.w_star) == pytest.approx(1.0)


def test_one_line_and_equality():
    teacher = Teacher(k=25, p=6, ratio=4.0, teacher_norm=1.0)
    assert str(teacher) == "Teacher: 25 patches of size 6, ratio 4, norm 1"
    assert eval(repr(teacher)) == teacher
    assert hash(teacher) == hash(Teacher(k=25, ratio=4))
    assert teacher != Teacher(k=25, ratio=5)
    assert teacher != 3
    assert not teacher.a_star.flags.writeable
    given_ = Teacher.from_arrays(teacher.w_star, teacher.a_star[::-1])
    assert given_ != teacher
    assert str(given_).endswith("norm 1, w* and a* given")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": 25.1}, "ratio = 25.1: must be at most k = 25"),
        ({"ratio": -1.0}, "ratio = -1.0"),
        ({"ratio": math.nan}, "ratio = nan: must be finite"),
        ({"p": 1}, "p = 1: must be at least 2"),
        ({"k": 0}, "k = 0"),
        ({"k": 2.5}, "k = 2.5: must be a whole number"),
        ({"k": "many"}, "k = 'many': must be a number"),
        ({"teacher_norm": -1.0}, "teacher_norm = -1.0"),
        ({"teacher_norm": math.inf}, "teacher_norm = inf"),
        ({"teacher_norm": 1e200}, "teacher_norm = 1e.200: must be between"),
        ({"k": 1, "ratio": 0.5}, "a one-patch teacher has ratio 1"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(InputError, match=message) as caught:
        Teacher(**({"k": 25, "ratio": 4.0} | change))
    assert "\n" not in str(caught.value)


def test_explicit_arrays():
    w, a = [3.0, 0.0, 4.0], [1.0, -2.0, 0.5, -4.0]
    teacher = Teacher.from_arrays(w, a)
    np.testing.assert_allclose(teacher.w_star, [0.6, 0.0, 0.8])
    np.testing.assert_allclose(teacher.a_star, 5.0 * np.array(a))
    assert (teacher.k, teacher.p) == (4, 3)
    assert pytest.approx(-22.5) == teacher.U
    assert teacher.ratio == pytest.approx(4.5**2 / 21.25)
    assert teacher.teacher_norm == pytest.approx(5.0 * math.sqrt(21.25))
    assert pytest.approx(5.0 * np.linalg.norm(np.array(a) + 1.125)) == teacher.B
    # The step does not see the length of w*, and tanh would see it.
    np.testing.assert_allclose(Teacher.from_arrays(w, a, degree=0).a_star, a)
    with pytest.raises(InputError, match=r"w_star = 5.0: .*homogeneous"):
        Teacher.from_arrays(w, a, degree=None)
    Teacher.from_arrays([0.6, 0.8], a, degree=None)
    assert Teacher.from_arrays([1, 0], [2]).ratio == 1.0
    assert Teacher.from_arrays([1, 0], [0.1] * 7).ratio <= 7.0
    tiny = Teacher.from_arrays([3e-200, 4e-200], [1e200, 1e200])
    assert tiny.teacher_norm == pytest.approx(5.0 * math.sqrt(2.0))


@pytest.mark.parametrize(
    ("w", "a", "message"),
    [
        ([1.0], [1.0], "w_star = .*at least 2"),
        ([1.0, 2.0], [], "a_star = "),
        ([0.0, 0.0], [1.0], "w_star = .*not be all zero"),
        ([1.0, 1.0], [0.0, 0.0], "a_star = .*not be all zero"),
        ([1.0, math.nan], [1.0], "w_star = .*finite"),
        ([1.0, 1.0], [math.inf], "a_star = .*finite"),
        ([[1.0, 1.0]], [1.0], "w_star = .*plain list"),
        ([[1.0], [1.0, 2.0]], [1.0], "w_star = .*plain list"),
        (["1", "2"], [1.0], "w_star = .*plain list"),
        ([True, False], [1.0], "w_star = .*plain list"),
        ([1.0, 2.0], [1j], "a_star = .*plain list"),
        ([1.0, 2.0], None, "a_star = .*plain list"),
        ([1e100, 1.0], [1.0], "a_star = .*out of range"),
    ],
)
def test_bad_arrays(w, a, message):
    with pytest.raises(InputError, match=message):
        Teacher.from_arrays(w, a)


def test_files(tmp_path):
    w, a = [0.6, 0.0, 0.8], [1.0, -2.0, 0.5]
    expected = Teacher.from_arrays(w, a)
    (tmp_path / "t.json").write_text(json.dumps({"w_star": w, "a_star": a}))
    (tmp_path / "t.toml").write_text(f"w_star = {w}\na_star = {a}\n")
    np.savez(tmp_path / "t.npz", w_star=w, a_star=a)
    for name in ("t.json", "t.toml", "t.npz"):
        assert Teacher.from_file(tmp_path / name) == expected
        assert Teacher.from_file(str(tmp_path / name)) == expected


class Trap:
    """Leaves a mark if anything unpickles it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.json", "{", "is no json file"),
        ("t.json", "[1, 2]", "must hold the keys"),
        ("t.json", '{"w_star": [1, 2]}', "no key 'a_star'"),
        ("t.json", '{"w_star": [1, 2], "a_star": [1], "b": 1}', "unknown key 'b'"),
        ("t.json", '{"w_star": [1, 2], "a_star": ["x"]}', "key a_star = .*plain list"),
        ("t.json", '{"w_star": [1, NaN], "a_star": [1]}', "key w_star = .*finite"),
        ("t.json", '{"w_star": [1, 1e999], "a_star": [1]}', "key w_star = .*finite"),
        ("t.json", '{"w_star": [1, %s], "a_star": [1]}' % ("9" * 400), "key w_star"),
        ("t.json", '{"w_star": {"a": 1}, "a_star": [1]}', "key w_star = .*plain list"),
        ("t.json", "[" * 100_000, "is no json file"),
        ("t.json", b"\xff\xfe\x00", "is no json file"),
        ("t.toml", "w_star = ", "is no toml file"),
        ("t.npz", b"PK nonsense", "is no npz file"),
        ("t.npz", b"", "is no npz file"),
        ("t.pickle", b"", "must end in .json, .toml or .npz"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        Teacher.from_file(path)
    assert "\n" not in str(caught.value)
    assert "teacher file" in str(caught.value)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        Teacher.from_file(tmp_path / "none.json")
    (tmp_path / "d.json").mkdir()
    with pytest.raises(InputError, match="directory"):
        Teacher.from_file(tmp_path / "d.json")


def test_a_file_is_never_executed(tmp_path):
    trap = np.array([Trap(str(tmp_path / "sprung"))], dtype=object)
    np.savez(tmp_path / "t.npz", w_star=trap, a_star=[1.0])
    with pytest.raises(InputError, match="is no npz file"):
        Teacher.from_file(tmp_path / "t.npz")
    assert not (tmp_path / "sprung").exists()
