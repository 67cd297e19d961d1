#include <math.h>
#include <string.h>

#include "Activation.h"
#include "Packing.h"
#include "Versions.h"

enum { WIDEST_SLICE = 32, MOST_ROWS = 6 };

// A softmax without its last step: e to the differences to the largest, times `scale`, of the first `seen`
// scores; zeros up to `width`. The memory of the scores goes on to whole vectors. Returns what the
// results are still to be multiplied by.
CK_INLINE float exponentials(float *x, ptrdiff_t width, ptrdiff_t seen, float scale) {
    ptrdiff_t whole = rounded_up(seen, LANE_COUNT);
    for (ptrdiff_t i = seen; i < whole; i++) x[i] = x[0];
    float lanes[LANE_COUNT];
    memcpy(lanes, x, sizeof lanes);
    for (ptrdiff_t i = LANE_COUNT; i < whole; i += LANE_COUNT)
        for (int j = 0; j < LANE_COUNT; j++) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    for (int half = LANE_COUNT / 2; half; half /= 2)
        for (int j = 0; j < half; j++)
            lanes[j] = lanes[j + half] > lanes[j] ? lanes[j + half] : lanes[j];
    float largest = lanes[0];
    for (ptrdiff_t i = 0; i < whole; i++) x[i] = fast_exp((x[i] - largest) * scale);
    for (ptrdiff_t i = seen; i < (whole > width ? whole : width); i++) x[i] = 0;
    memset(lanes, 0, sizeof lanes);
    for (ptrdiff_t i = 0; i < whole; i += LANE_COUNT)
        for (int j = 0; j < LANE_COUNT; j++) lanes[j] += x[i + j];
    return 1 / sum_of_lanes(lanes);
}

#if defined(__x86_64__) && defined(__clang__)
#define VERSION avx512
#define TARGET CK_TARGET_AVX512 CK_WIDE
#define LANES 16
#define ROWS 6
#define OUTPUTS 32
#include "Attention.inc"
#define VERSION avx2
#define TARGET CK_TARGET_AVX2
#define LANES 8
#define ROWS 6
#define OUTPUTS 16
#include "Attention.inc"
#endif
#define VERSION plain
#define TARGET
#define LANES 4
#define ROWS 4
#define OUTPUTS 8
#include "Attention.inc"

ptrdiff_t ck_attention_scratch(ptrdiff_t length, ptrdiff_t width) {
    ptrdiff_t keys = rounded_up(length, WIDEST_SLICE);
    return keys * width + length * rounded_up(width, WIDEST_SLICE) + MOST_ROWS * keys;
}

void ck_attention(const ck_attention_shape *shape, const float *queries, const float *keys,
                  const float *values, float *scratch, float *out) {
#if defined(__x86_64__) && defined(__clang__)
    if (shape->isa >= CK_ISA_AVX512)
        return attention_avx512(shape, queries, keys, values, scratch, out);
    if (shape->isa >= CK_ISA_AVX2)
        return attention_avx2(shape, queries, keys, values, scratch, out);
#endif
    attention_plain(shape, queries, keys, values, scratch, out);
}
