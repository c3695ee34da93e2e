/* The four-scalar recurrence of descent/reduced.py (ReLU) by hand, in float32.

   State (phi, s, M, r2) of a block of lanes stays in registers for all steps. Two forms:
   `angle_form` takes sin and cos of phi by polynomials; `rotation_form` keeps them and turns
   them by arctan x, whose polynomial is short while x is small (blocks with a large x take a
   slower path). Lanes are float32 in rows of `lanes`, a multiple of UNROLL vectors. */
#include <stddef.h>
#include <math.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512DQ__)
#define BYTES 64
#elif defined(__AVX2__)
#define BYTES 32
#else
#define BYTES 16
#endif
#ifndef UNROLL
#define UNROLL 4
#endif
typedef float real __attribute__((vector_size(BYTES)));
typedef int mask __attribute__((vector_size(BYTES)));
#define WIDTH ((size_t)(BYTES / sizeof(float)))
#define PI 3.14159265358979f

#ifndef RATE /* in native.cc every lane has rates of its own */
#define RATE float
#endif

typedef struct { RATE c, c_filter, b, power, sum2; } rates;
typedef struct { real phi, cos, sin, s, m, r2; } block;

static inline real pick(mask m, real a, real b) { return (real)((m & (mask)a) | (~m & (mask)b)); }
static inline real size_of(real a) { return (real)((mask)a & 0x7fffffff); }
static inline int any(mask m) {
#if defined(__AVX512DQ__)
    return _mm512_movepi32_mask((__m512i)m) != 0;
#elif defined(__AVX2__)
    return _mm256_movemask_ps((__m256)m) != 0;
#else
    return (m[0] | m[1] | m[2] | m[3]) != 0;
#endif
}

static inline real arctan(real x) {
    real size = size_of(x);
    mask large = size > 1.0f;
    real z = pick(large, 1 / size, size), y = z * z;
    real a = z + z * y * (-0.3333314528f + y * (0.1999355085f + y * (-0.1420889944f + y * (
        0.1065626393f + y * (-0.0752896400f + y * (0.0429096138f + y * (-0.0161657367f
        + y * 0.0028662257f)))))));
    a = pick(large, PI / 2 - a, a);
    return (real)((mask)a | ((mask)x & (int)0x80000000));
}

static inline block outputs(block at, block next, real g, rates n) {
    next.s = at.s + n.c * ((g - 1) * n.power + at.m - (PI - 1) * at.s);
    next.m = at.m - n.b * at.m + n.c * n.sum2 * (PI - g);
    return next;
}

static inline real sine(real phi) {
    real t = phi - PI / 2, q = t * t;
    return 1 + q * (-0.4999999963f + q * (0.0416666418f + q * (-0.0013888397f
        + q * (0.0000247609f + q * -0.0000002605f))));
}

static inline real cosine(real phi) {
    real t = phi - PI / 2, q = t * t;
    return -(t + t * q * (-0.1666666664f + q * (0.0083333315f + q * (-0.0001984090f
        + q * (0.0000027526f + q * -0.0000000239f)))));
}

static inline block angle_step(block at, rates n) {
    real rest = PI - at.phi, sin = sine(at.phi);
    real x = n.c_filter * at.s * rest * sin / at.r2;
    block next = outputs(at, at, rest * cosine(at.phi) + sin, n);
    real phi = size_of(at.phi - arctan(x));
    next.phi = pick(phi > PI, 2 * PI - phi, phi);
    next.r2 = at.r2 + at.r2 * (x * x);
    return next;
}

static inline block rotation_step(block at, rates n) {
    real rest = PI - at.phi;
    real x = n.c_filter * at.s * rest * at.sin / at.r2, y = x * x, turn, shrink;
    block next = outputs(at, at, rest * at.cos + at.sin, n);
    if (__builtin_expect(any(y > 0.0625f), 0)) {
        turn = arctan(x);
        for (size_t e = 0; e < WIDTH; e++) shrink[e] = 1 / sqrtf(1 + y[e]);
    } else { /* |x| at most 1/4: errors below 2e-7 */
        turn = x + x * y * (-0.33333333f + y * (0.2f + y * (-0.14285714f
            + y * (0.11111111f + y * -0.08f))));
        shrink = 1 + y * (-0.5f + y * (0.375f + y * (-0.3125f + y * (0.2734375f + y * -0.22f))));
    }
    real phi = size_of(at.phi - turn);
    next.cos = (at.cos + x * at.sin) * shrink;
    next.sin = size_of((at.sin - x * at.cos) * shrink);
    next.phi = pick(phi > PI, 2 * PI - phi, phi);
    next.r2 = at.r2 + at.r2 * y;
    return next;
}

#ifndef __cplusplus
#define RUN(NAME, STEP)                                                                   \
    void NAME(float *state, size_t lanes, long steps, float c, float c_filter, float b,   \
              float power, float sum2) {                                                  \
        rates n = {c, c_filter, b, power, sum2};                                          \
        for (size_t i = 0; i < lanes; i += UNROLL * WIDTH) {                              \
            block at[UNROLL];                                                             \
            for (size_t u = 0; u < UNROLL; u++) {                                         \
                float *from = state + i + u * WIDTH;                                      \
                at[u].phi = *(real *)from;                                                \
                at[u].s = *(real *)(from + lanes);                                        \
                at[u].m = *(real *)(from + 2 * lanes);                                    \
                at[u].r2 = *(real *)(from + 3 * lanes);                                   \
                at[u].cos = cosine(at[u].phi);                                            \
                at[u].sin = sine(at[u].phi);                                              \
            }                                                                             \
            for (long step = 0; step < steps; step++)                                     \
                for (size_t u = 0; u < UNROLL; u++) at[u] = STEP(at[u], n);               \
            for (size_t u = 0; u < UNROLL; u++) {                                         \
                float *to = state + i + u * WIDTH;                                        \
                *(real *)to = at[u].phi;                                                  \
                *(real *)(to + lanes) = at[u].s;                                          \
                *(real *)(to + 2 * lanes) = at[u].m;                                      \
                *(real *)(to + 3 * lanes) = at[u].r2;                                     \
            }                                                                             \
        }                                                                                 \
    }

RUN(angle_form, angle_step)
RUN(rotation_form, rotation_step)
#endif
