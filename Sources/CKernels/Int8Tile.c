#include "Int8Tile.h"

#include <stdlib.h>
#include <string.h>

enum { PANEL = CK_INT8_PANEL };

// A word holds an output's four weights, so that outputs lie side by side in the lanes that compilers
// make of the inner loop; a product fits in 16 bits. Little-endian, as every machine this is built for.
static void sums_any(const uint8_t *q, ptrdiff_t stride, ptrdiff_t rows, const int8_t *panel,
                     ptrdiff_t groups, int32_t *sums) {
    memset(sums, 0, (size_t)(rows * PANEL) * sizeof *sums);
    for (ptrdiff_t g = 0; g < groups; g++) {
        int16_t w[4][PANEL];
        for (int o = 0; o < PANEL; o++) {
            uint32_t word;
            memcpy(&word, panel + g * 4 * PANEL + 4 * o, sizeof word);
            w[0][o] = (int8_t)word;
            w[1][o] = (int8_t)(word >> 8);
            w[2][o] = (int8_t)(word >> 16);
            w[3][o] = (int8_t)(word >> 24);
        }
        for (ptrdiff_t r = 0; r < rows; r++) {
            const uint8_t *x = q + r * stride + 4 * g;
            int32_t *restrict to = sums + r * PANEL;
            for (int i = 0; i < 4; i++) {
                int16_t xi = x[i];
                for (int o = 0; o < PANEL; o++) to[o] += (int16_t)(xi * w[i][o]);
            }
        }
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

// The instruction does four products a lane: 6 rows by 64 outputs are 24 sums, with 4 registers of
// weights and one of activations 29 of the 32 that there are.
#define TARGET __attribute__((target("avx512f,avx512vnni")))

TARGET static inline __attribute__((always_inline)) void tile_vnni(
    const uint8_t *q, ptrdiff_t stride, int rows, const int8_t *panel, ptrdiff_t groups,
    int32_t *sums) {
    __m512i acc[6][4];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 4; c++) acc[r][c] = _mm512_setzero_si512();
    for (ptrdiff_t g = 0; g < groups; g++) {
        __m512i w[4];
        for (int c = 0; c < 4; c++) w[c] = _mm512_load_si512(panel + 64 * c);
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, q + r * stride, sizeof four);
            __m512i x = _mm512_set1_epi32(four);
            for (int c = 0; c < 4; c++) acc[r][c] = _mm512_dpbusd_epi32(acc[r][c], x, w[c]);
        }
        panel += 4 * PANEL;
        q += 4;
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 4; c++) _mm512_store_si512(sums + r * PANEL + 16 * c, acc[r][c]);
}

TARGET static void sums_vnni(const uint8_t *q, ptrdiff_t stride, ptrdiff_t rows,
                             const int8_t *panel, ptrdiff_t groups, int32_t *sums) {
    switch (rows) {
    case 6: return tile_vnni(q, stride, 6, panel, groups, sums);
    case 5: return tile_vnni(q, stride, 5, panel, groups, sums);
    case 4: return tile_vnni(q, stride, 4, panel, groups, sums);
    case 3: return tile_vnni(q, stride, 3, panel, groups, sums);
    case 2: return tile_vnni(q, stride, 2, panel, groups, sums);
    default: return tile_vnni(q, stride, 1, panel, groups, sums);
    }
}
#undef TARGET

// `vpmaddubsw` would saturate: two products of 255 and 127 do not fit in 16 bits. So both sides are
// widened to 16 bits, whose products `vpmaddwd` adds in 32; a lane holds the sum over one half of
// each group until the end. 3 rows by 16 outputs are 12 sums, 1 register of weights, 3 of
// activations.
#define TARGET __attribute__((target("avx2")))

TARGET static inline __attribute__((always_inline)) void tile_avx2(
    const uint8_t *q, ptrdiff_t stride, int rows, const int8_t *panel, ptrdiff_t groups,
    int32_t *sums) {
    __m256i acc[3][4];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 4; c++) acc[r][c] = _mm256_setzero_si256();
    for (ptrdiff_t g = 0; g < groups; g++) {
        __m256i x[3];
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, q + r * stride, sizeof four);
            x[r] = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
        }
        for (int c = 0; c < 4; c++) {
            __m256i w = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(panel + 16 * c)));
            for (int r = 0; r < rows; r++)
                acc[r][c] = _mm256_add_epi32(acc[r][c], _mm256_madd_epi16(x[r], w));
        }
        panel += 4 * PANEL;
        q += 4;
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 4; c += 2) {
            // Adds neighbours within halves of 128 bits: 0 1 4 5, 2 3 6 7.
            __m256i pairs = _mm256_hadd_epi32(acc[r][c], acc[r][c + 1]);
            _mm256_store_si256((__m256i *)(sums + r * PANEL + 4 * c),
                               _mm256_permute4x64_epi64(pairs, 0xD8));
        }
}

TARGET static void sums_avx2(const uint8_t *q, ptrdiff_t stride, ptrdiff_t rows,
                             const int8_t *panel, ptrdiff_t groups, int32_t *sums) {
    for (int o = 0; o < PANEL; o += 16)
        switch (rows) {
        case 3: tile_avx2(q, stride, 3, panel + 4 * o, groups, sums + o); break;
        case 2: tile_avx2(q, stride, 2, panel + 4 * o, groups, sums + o); break;
        default: tile_avx2(q, stride, 1, panel + 4 * o, groups, sums + o); break;
        }
}
#undef TARGET

bool ck_int8_has(enum ck_int8_isa isa) {
    __builtin_cpu_init();
    switch (isa) {
    case CK_INT8_AVX512_VNNI:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
    case CK_INT8_AVX2: return __builtin_cpu_supports("avx2");
    case CK_INT8_BEST:
    case CK_INT8_ANY: return true;
    default: return false;
    }
}

struct int8_tile int8_tile_for(enum ck_int8_isa isa) {
    if (isa == CK_INT8_BEST)
        isa = ck_int8_has(CK_INT8_AVX512_VNNI) ? CK_INT8_AVX512_VNNI
              : ck_int8_has(CK_INT8_AVX2)      ? CK_INT8_AVX2
                                               : CK_INT8_ANY;
    if (!ck_int8_has(isa)) abort();
    switch (isa) {
    case CK_INT8_AVX512_VNNI: return (struct int8_tile){6, sums_vnni};
    case CK_INT8_AVX2: return (struct int8_tile){3, sums_avx2};
    default: return (struct int8_tile){INT8_TILE_ROWS, sums_any};
    }
}

#elif defined(__aarch64__) && defined(__linux__)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

// Both operands are signed: activations go in less 128, and 128 times the weights' sum comes on top.
// 5 rows by 16 outputs are 20 sums, with 4 of the weights', 4 registers of weights, one of
// activations and one of ones 30 of the 32 that there are.
#define TARGET __attribute__((target("dotprod")))

TARGET static inline __attribute__((always_inline)) void tile_dot(
    const uint8_t *q, ptrdiff_t stride, int rows, const int8_t *panel, ptrdiff_t groups,
    int32_t *sums) {
    int32x4_t acc[5][4], total[4];
    for (int c = 0; c < 4; c++) {
        total[c] = vdupq_n_s32(0);
        for (int r = 0; r < rows; r++) acc[r][c] = vdupq_n_s32(0);
    }
    for (ptrdiff_t g = 0; g < groups; g++) {
        int8x16_t w[4];
        for (int c = 0; c < 4; c++) {
            w[c] = vld1q_s8(panel + 16 * c);
            total[c] = vdotq_s32(total[c], w[c], vdupq_n_s8(1));
        }
        for (int r = 0; r < rows; r++) {
            uint32_t four;
            memcpy(&four, q + r * stride, sizeof four);
            int8x16_t x = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
            for (int c = 0; c < 4; c++) acc[r][c] = vdotq_s32(acc[r][c], w[c], x);
        }
        panel += 4 * PANEL;
        q += 4;
    }
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < 4; c++)
            vst1q_s32(sums + r * PANEL + 4 * c, vaddq_s32(acc[r][c], vshlq_n_s32(total[c], 7)));
}

TARGET static void sums_dot(const uint8_t *q, ptrdiff_t stride, ptrdiff_t rows,
                            const int8_t *panel, ptrdiff_t groups, int32_t *sums) {
    for (int o = 0; o < PANEL; o += 16)
        switch (rows) {
        case 5: tile_dot(q, stride, 5, panel + 4 * o, groups, sums + o); break;
        case 4: tile_dot(q, stride, 4, panel + 4 * o, groups, sums + o); break;
        case 3: tile_dot(q, stride, 3, panel + 4 * o, groups, sums + o); break;
        case 2: tile_dot(q, stride, 2, panel + 4 * o, groups, sums + o); break;
        default: tile_dot(q, stride, 1, panel + 4 * o, groups, sums + o); break;
        }
}
#undef TARGET

bool ck_int8_has(enum ck_int8_isa isa) {
    switch (isa) {
    case CK_INT8_NEON_DOT: return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    case CK_INT8_BEST:
    case CK_INT8_ANY: return true;
    default: return false;
    }
}

struct int8_tile int8_tile_for(enum ck_int8_isa isa) {
    if (isa == CK_INT8_BEST) isa = ck_int8_has(CK_INT8_NEON_DOT) ? CK_INT8_NEON_DOT : CK_INT8_ANY;
    if (!ck_int8_has(isa)) abort();
    return isa == CK_INT8_NEON_DOT ? (struct int8_tile){5, sums_dot}
                                   : (struct int8_tile){INT8_TILE_ROWS, sums_any};
}

#else

bool ck_int8_has(enum ck_int8_isa isa) { return isa == CK_INT8_BEST || isa == CK_INT8_ANY; }

struct int8_tile int8_tile_for(enum ck_int8_isa isa) {
    if (!ck_int8_has(isa)) abort();
    return (struct int8_tile){INT8_TILE_ROWS, sums_any};
}

#endif
