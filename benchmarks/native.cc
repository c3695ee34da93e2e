/* recurrence.c as a call of XLA's FFI: `count` steps of every lane, in the rotation form.

   The state (phi, s, M, r2) and the rates (c, c_filter, b, A, U^2) come as rows of lanes. */
#define RATE real
#include "recurrence.c"

#include <algorithm>
#include <cstring>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using Row = ffi::Buffer<ffi::F32>;
using NewRow = ffi::ResultBuffer<ffi::F32>;

static constexpr size_t LANES = UNROLL * WIDTH;

struct Group { real of[UNROLL]; };

/* Up to LANES numbers of a row; lanes beyond the last repeat the first of the group. */
static Group load(const Row &row, size_t at, size_t held) {
    float lanes[LANES];
    std::fill_n(lanes, LANES, row.typed_data()[at]);
    std::memcpy(lanes, row.typed_data() + at, held * sizeof(float));
    Group group;
    std::memcpy(&group, lanes, sizeof group);
    return group;
}

static ffi::Error stride(Row phi, Row s, Row m, Row r2, Row c, Row c_filter, Row b, Row power,
                         Row sum2, ffi::Buffer<ffi::S32> count, NewRow new_phi, NewRow new_s,
                         NewRow new_m, NewRow new_r2) {
    const size_t lanes = phi.element_count();
    const int steps = count.typed_data()[0];
    const Row *rows[] = {&phi, &s, &m, &r2, &c, &c_filter, &b, &power, &sum2};
    float *out[] = {new_phi->typed_data(), new_s->typed_data(), new_m->typed_data(),
                    new_r2->typed_data()};
    for (size_t i = 0; i < lanes; i += LANES) {
        const size_t held = std::min(LANES, lanes - i);
        Group in[9], done[4];
        block at[UNROLL];
        rates n[UNROLL];
        for (int r = 0; r < 9; r++) in[r] = load(*rows[r], i, held);
        for (int u = 0; u < UNROLL; u++) {
            real angle = in[0].of[u];
            at[u] = {angle, cosine(angle), sine(angle), in[1].of[u], in[2].of[u], in[3].of[u]};
            n[u] = {in[4].of[u], in[5].of[u], in[6].of[u], in[7].of[u], in[8].of[u]};
        }
        for (int step = 0; step < steps; step++)
            for (int u = 0; u < UNROLL; u++) at[u] = rotation_step(at[u], n[u]);
        for (int u = 0; u < UNROLL; u++) {
            done[0].of[u] = at[u].phi;
            done[1].of[u] = at[u].s;
            done[2].of[u] = at[u].m;
            done[3].of[u] = at[u].r2;
        }
        for (int r = 0; r < 4; r++) std::memcpy(out[r] + i, &done[r], held * sizeof(float));
    }
    return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(native_stride, stride, ffi::Ffi::Bind()
    .Arg<Row>().Arg<Row>().Arg<Row>().Arg<Row>()
    .Arg<Row>().Arg<Row>().Arg<Row>().Arg<Row>().Arg<Row>()
    .Arg<ffi::Buffer<ffi::S32>>()
    .Ret<Row>().Ret<Row>().Ret<Row>().Ret<Row>());
