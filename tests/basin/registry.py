"""Known answers, to 12 digits, over every start law and the range of teacher norms.

The first nine are of an independent quadrature and agree with brute force. The others are
rules of one fixed order, one and a half to three times that at which the adaptive rule stops;
basin/plain_quadrature.py agrees with those it can compute, runs with the activations.
"""

from typing import Any, NamedTuple


class Known(NamedTuple):
    """A cell, further arguments of `exact_probability`, P(global) and P(spurious)."""

    cell: dict[str, Any]
    start: dict[str, Any]
    p_global: float
    p_spurious: float | None = None
    tolerance: float = 1e-10


def _paper(k: int, p: int, ratio: float, step_size: float, norm: float, value: float) -> Known:
    cell = {"k": k, "p": p, "ratio": ratio, "step_size": step_size, "teacher_norm": norm}
    return Known(cell, {}, value)


FIXED = tuple(-0.3 + 0.7 * j / 24 for j in range(25))
H = {"k": 25, "ratio": 4, "step_size": 0.05}

INDEPENDENT = (
    _paper(25, 6, 1, 0.01, 1.0, 0.559229680629),
    _paper(25, 6, 4, 0.01, 1.0, 0.753637923898),
    _paper(49, 6, 9, 0.01, 1.0, 0.807858727349),
    _paper(100, 6, 25, 0.01, 1.0, 0.923194339180),
    _paper(100, 20, 25, 0.01, 1.0, 0.997986317403),
    _paper(25, 6, 4, 0.05, 0.6, 0.729271506428),
    _paper(36, 6, 9, 0.05, 0.6, 0.889397034115),
    _paper(81, 6, 25, 0.05, 0.6, 0.987978872988),
    _paper(100, 6, 25, 0.05, 0.6, 0.905441332069),
)

FURTHER = (
    Known(H | {"init": "sphere"}, {}, 0.7535637580756, 2.464362419244e-01),
    Known(H | {"init": "sphere", "init_scale": 3.0}, {}, 0.7468664307938, 2.531335692062e-01),
    Known(H | {"init_scale": 3.0}, {}, 0.7474121826664, 2.525878173336e-01),
    Known(H | {"init_scale": 20.0}, {}, 0.6270712191056, 3.729287808944e-01),
    Known(H | {"init": "gaussian", "init_scale": 0.2}, {}, 0.7491376137386, 2.508623862614e-01),
    Known(H | {"init": "gaussian", "init_scale": 0.5}, {}, 0.7250341107279, 2.749658892721e-01),
    Known(H | {"init": "gaussian"}, {}, 0.6725071995474, 3.274928004526e-01),
    Known(H | {"teacher_norm": 0.1}, {}, 0.7114169149476, 2.885830850524e-01),
    Known(H | {"teacher_norm": 3.0}, {}, 0.8609818513028, 1.390181486972e-01),
    Known(H | {"teacher_norm": 10.0}, {}, 0.9245159620534, 7.548403794660e-02),
    Known({"k": 49, "ratio": 16, "step_size": 0.05}, {}, 0.9983605074493, 1.639492550669e-03),
    Known({"k": 81, "ratio": 25, "step_size": 0.05}, {}, 0.9903395156622, 9.660484337797e-03),
    Known(
        {"k": 49, "ratio": 16, "step_size": 0.05, "teacher_norm": 3.0},
        {}, 0.9996769241646, 3.230758354114e-04,
    ),
    Known(
        {"k": 100, "ratio": 25, "p": 112, "step_size": 0.05},
        {}, 0.9999999999982, 1.825514078546e-12,
    ),
    Known(
        {"k": 25, "ratio": 4, "step_size": 0.01, "filter_step_size": 0.02},
        {}, 0.7805782255252, 2.194217744748e-01,
    ),
    Known({"k": 4, "ratio": 1}, {}, 0.7602423725864, 2.397576274136e-01),
    Known({"k": 2, "ratio": 0.5, "init": "sphere"}, {}, 0.6665810331516, 3.334189668484e-01),
    Known(
        {"k": 100, "ratio": 0, "init": "gaussian", "init_scale": 0.3, "step_size": 0.05},
        {}, 0.4956589377470, 5.043410622530e-01,
    ),
    Known({"k": 100, "ratio": 0}, {}, 0.5, 0.5),
    Known(H, {"angle": 1.85}, 0.8957055078502, 1.042944921498e-01),
    Known(H | {"init": "sphere"}, {"angle": 1.85}, 0.8863151020829, 1.136848979171e-01),
    Known(H | {"init": "gaussian"}, {"angle": 1.85}, 0.5390659194646, 4.609340805354e-01),
    Known(H, {"a_mean": 0.05}, 0.7565722630282, 2.434277369718e-01),
    Known(H | {"init": "zero"}, {"angle": 1.85}, 1.0, 0.0),
    Known(H | {"init": "zero"}, {"angle": 1.9}, 0.0, 1.0),
    Known(H, {"a": FIXED}, 0.9328104462831, 6.718955371689e-02),
    Known(H | {"optimizer": "flow"}, {}, 0.7536404970594, 2.463595029406e-01),
    Known(H | {"activation": "gelu"}, {}, 0.7329665812612, 2.670334187388e-01),
    Known(
        H | {"activation": "leaky_relu", "slope": 0.3}, {}, 0.6814034261354, 3.185965738646e-01
    ),
    Known(
        H | {"activation": "gelu", "init": "gaussian", "init_scale": 0.5},
        {}, 0.7048434668438, 2.951565331562e-01,
    ),
    Known(H | {"init": "zero"}, {}, 0.7544255529297, 2.455744470703e-01),
)  # fmt: skip

GAUSSIAN_FILTER = Known(H | {"filter_init": "gaussian"}, {}, 0.723479911638, None, 1e-6)
