#include "Int8Tile.h"

#include <stdlib.h>
#include <string.h>

#include "Versions.h"

enum {
    PANEL = CK_INT8_PANEL,
    // Pairs of products with 16-bit activations that fit in 32 bits: 256 · 2 · 32768 · 127 < 2^31.
    PAIRS_AT_ONCE = 256,
};

// `call` with R a constant, so that the compiler keeps the sums of all rows in registers.
#define WITH_ROWS(rows, call)                    \
    switch (rows) {                              \
    case 6: { enum { R = 6 }; call; } break;     \
    case 5: { enum { R = 5 }; call; } break;     \
    case 4: { enum { R = 4 }; call; } break;     \
    case 3: { enum { R = 3 }; call; } break;     \
    case 2: { enum { R = 2 }; call; } break;     \
    default: { enum { R = 1 }; call; } break;    \
    }

// For kernels on planes of bytes: `name` by `tile`, once for each plane.
#define SUMS_OF_PLANES(TARGET, name, tile)                                                        \
    TARGET static void name(const void *x, ptrdiff_t stride, ptrdiff_t rows, const void *weights, \
                            ptrdiff_t groups, bool wide, int32_t *sums, int32_t *low) {           \
        const uint8_t *upper = x, *lower = upper + stride;                                        \
        ptrdiff_t pitch = wide ? 2 * stride : stride;                                             \
        WITH_ROWS(rows, tile(R, upper, pitch, weights, groups, sums))                             \
        if (wide) WITH_ROWS(rows, tile(R, lower, pitch, weights, groups, low))                    \
    }

// Without an instruction for bytes: signed words, two at a time. Sums of 16-bit activations are split
// before they overflow.
static void sums_plain(const void *x, ptrdiff_t stride, ptrdiff_t rows, const void *weights,
                       ptrdiff_t groups, bool wide, int32_t *sums, int32_t *low) {
    enum { SLICE = 16 };
    for (ptrdiff_t r = 0; r < rows; r++) {
        const int16_t *q = (const int16_t *)x + r * stride, *w = weights;
        int32_t upper[SLICE] = {0}, lower[SLICE] = {0}, acc[SLICE] = {0};
        for (ptrdiff_t g = 0; g < groups; g++, w += 2 * SLICE) {
            int32_t q0 = q[2 * g], q1 = q[2 * g + 1];
            for (int o = 0; o < SLICE; o++) acc[o] += q0 * w[2 * o] + q1 * w[2 * o + 1];
            if (!wide || ((g + 1) % PAIRS_AT_ONCE && g + 1 < groups)) continue;
            for (int o = 0; o < SLICE; o++) {
                upper[o] += acc[o] >> 8;
                lower[o] += acc[o] & 255;
                acc[o] = 0;
            }
        }
        memcpy(sums + r * PANEL, wide ? upper : acc, sizeof acc);
        if (wide) memcpy(low + r * PANEL, lower, sizeof lower);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

#define VERSION avx512
#define TARGET __attribute__((target("arch=x86-64-v4")))
#define VNNI_TARGET __attribute__((target("arch=x86-64-v4,avx512vnni")))
#define DOT _mm512_dpbusd_epi32
#define VECTOR __m512i
#define OP(name) _mm512_##name
#define WHOLE(name) _mm512_##name##_si512
#define COLUMNS 4
#include "Int8Avx.inc"
#define VERSION avx2
#define TARGET __attribute__((target("arch=x86-64-v3")))
#define VNNI_TARGET __attribute__((target("arch=x86-64-v3,avxvnni")))
#define DOT _mm256_dpbusd_avx_epi32
#define VECTOR __m256i
#define OP(name) _mm256_##name
#define WHOLE(name) _mm256_##name##_si256
#define COLUMNS 2
#include "Int8Avx.inc"

#elif defined(__aarch64__)
#include <arm_neon.h>

// Both operands are signed: activations go in less 128, and 128 times the weights' sum comes on top.
// 5 rows by 16 outputs are 20 sums, with 4 of the weights', 4 registers of weights, one of
// activations and one of ones 30 of the 32 that there are.
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))

TARGET CK_INLINE void tile_dot(int rows, const uint8_t *q, ptrdiff_t stride, const int8_t *w,
                               ptrdiff_t groups, int32_t *sums) {
    int32x4_t acc[6][4], total[4];
    for (int c = 0; c < 4; c++) {
        total[c] = vdupq_n_s32(0);
        for (int r = 0; r < rows; r++) acc[r][c] = vdupq_n_s32(0);
    }
    for (ptrdiff_t g = 0; g < groups; g++, q += 4, w += 64) {
        int8x16_t v[4];
        for (int c = 0; c < 4; c++) {
            v[c] = vld1q_s8(w + 16 * c);
            total[c] = vdotq_s32(total[c], v[c], vdupq_n_s8(1));
        }
        for (int r = 0; r < rows; r++) {
            uint32_t four;
            memcpy(&four, q + r * stride, sizeof four);
            int8x16_t x = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
            for (int c = 0; c < 4; c++) acc[r][c] = vdotq_s32(acc[r][c], v[c], x);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 4; c++)
            vst1q_s32(sums + r * PANEL + 4 * c, vaddq_s32(acc[r][c], vshlq_n_s32(total[c], 7)));
}

SUMS_OF_PLANES(TARGET, sums_dot, tile_dot)
#undef TARGET

// An instruction multiplies two rows by two outputs, eight inputs each: 6 rows by 16 outputs are 24
// sums of four, with 3 registers of activations and one of weights 28 of 32. Rows beyond the last
// repeat it.
#define TARGET __attribute__((target("arch=armv8.6-a+dotprod+i8mm")))

TARGET CK_INLINE void tile_i8mm(int rows, const uint8_t *q, ptrdiff_t stride, const int8_t *w,
                                ptrdiff_t groups, int32_t *sums) {
    int32x4_t acc[3][8];
    int pairs = (rows + 1) / 2;
    for (int p = 0; p < pairs; p++)
        for (int c = 0; c < 8; c++) acc[p][c] = vdupq_n_s32(0);
    for (ptrdiff_t g = 0; g < groups; g++, q += 8, w += 128) {
        uint8x16_t x[3];
        for (int p = 0; p < pairs; p++) {
            int second = 2 * p + 1 < rows ? 2 * p + 1 : 2 * p;
            x[p] = vcombine_u8(vld1_u8(q + 2 * p * stride), vld1_u8(q + second * stride));
        }
        for (int c = 0; c < 8; c++) {
            int8x16_t v = vld1q_s8(w + 16 * c);
            for (int p = 0; p < pairs; p++) acc[p][c] = vusmmlaq_s32(acc[p][c], x[p], v);
        }
    }
    for (int p = 0; p < pairs; p++)
        for (int c = 0; c < 8; c++) {
            int32_t *to = sums + 2 * p * PANEL + 2 * c;
            vst1_s32(to, vget_low_s32(acc[p][c]));
            if (2 * p + 1 < rows) vst1_s32(to + PANEL, vget_high_s32(acc[p][c]));
        }
}

SUMS_OF_PLANES(TARGET, sums_i8mm, tile_i8mm)
#undef TARGET

#endif

struct int8_tile int8_tile_for(enum ck_isa isa, enum ck_int8_kind kind) {
    (void)kind;
    // Rows, slice, group, words.
    switch (isa) {
#if defined(__x86_64__)
    case CK_ISA_AVX512_VNNI: return (struct int8_tile){6, 64, 4, false, sums_vnni_avx512};
    case CK_ISA_AVX2_VNNI: return (struct int8_tile){6, 16, 4, false, sums_vnni_avx2};
    case CK_ISA_AVX512:
        if (kind == CK_INT7) return (struct int8_tile){6, 64, 4, false, sums_bytes_avx512};
        return (struct int8_tile){6, 64, 2, true, sums_words_avx512};
    case CK_ISA_AVX2:
        if (kind == CK_INT7) return (struct int8_tile){6, 16, 4, false, sums_bytes_avx2};
        return (struct int8_tile){6, 16, 2, true, sums_words_avx2};
#elif defined(__aarch64__)
    case CK_ISA_NEON_DOT: return (struct int8_tile){5, 16, 4, false, sums_dot};
    case CK_ISA_NEON_I8MM: return (struct int8_tile){6, 16, 8, false, sums_i8mm};
#endif
    case CK_ISA_PLAIN: return (struct int8_tile){6, 16, 2, true, sums_plain};
    default: abort();
    }
}
