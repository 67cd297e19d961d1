#include "Activation.h"
#include "CKernels.h"
#include "Int8Tile.h"
#include "Versions.h"

#include <math.h>
#include <string.h>

enum { PANEL = CK_INT8_PANEL, LANES = 16 };

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));

// Lane by lane, `a` where the mask is set, else `b`.
#define PICK(mask, a, b) ((f32x16)(((mask) & (i32x16)(a)) | (~(mask) & (i32x16)(b))))

static inline ptrdiff_t panels_of(ptrdiff_t outputs) { return (outputs + PANEL - 1) / PANEL; }

// Bytes of a panel.
static inline ptrdiff_t panel_size(ptrdiff_t inputs, struct int8_tile tile) {
    ptrdiff_t groups = (inputs + tile.group - 1) / tile.group;
    return groups * tile.group * PANEL * (tile.has_words ? 2 : 1);
}

ptrdiff_t ck_int8_packed_size(ptrdiff_t inputs, ptrdiff_t outputs, enum ck_int8_kind kind,
                              enum ck_isa isa) {
    return panels_of(outputs) * panel_size(inputs, int8_tile_for(isa, kind));
}

// The element of a panel that has input 0 of an output; input i lies
// i / group · slice · group + i % group further.
static inline ptrdiff_t column_of(ptrdiff_t output, ptrdiff_t inputs, struct int8_tile tile) {
    ptrdiff_t padded = (inputs + tile.group - 1) / tile.group * tile.group;
    return output / tile.slice * tile.slice * padded + output % tile.slice * tile.group;
}

// Adding it to a number below 2^22 rounds that to an integer, half to even, and leaves the integer in
// the low bits: unlike a conversion, defined for every number.
static const float round_bias = 12582912.0f; // 1.5 * 2^23

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

CK_INLINE float largest_magnitude_body(const float *x, ptrdiff_t count) {
    uint32_t largest = 0; // magnitudes are ordered as their bits are
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t magnitude = bits_of(x[i]) & 0x7FFFFFFF;
        largest = magnitude > largest ? magnitude : largest;
    }
    float value;
    memcpy(&value, &largest, sizeof value);
    return value;
}
CK_VERSIONS(static, float, largest_magnitude, (const float *x, ptrdiff_t count), (x, count))

void ck_int8_pack(const float *weight, const ck_int8_matrix *to) {
    struct int8_tile tile = int8_tile_for(to->isa, to->kind);
    ptrdiff_t inputs = to->inputs, padded = panels_of(to->outputs) * PANEL;
    if (inputs % tile.group || padded != to->outputs)
        memset(to->weights, 0, (size_t)ck_int8_packed_size(inputs, to->outputs, to->kind, to->isa));
    float last = to->kind == CK_INT7 ? 63 : 127;
    for (ptrdiff_t o = 0; o < padded; o++) {
        to->scales[o] = 0;
        to->sums[o] = 0;
        if (o >= to->outputs) continue;
        const float *row = weight + o * inputs;
        // The smallest normal number keeps the inverse of an all but zero row finite.
        float scale = fmaxf(largest_magnitude(row, inputs) / last, 0x1p-126f);
        float inverse = 1 / scale;
        ptrdiff_t column = column_of(o, inputs, tile);
        int32_t sum = 0;
        for (ptrdiff_t i = 0; i < inputs; i += tile.group) {
            ptrdiff_t at = column + i * tile.slice;
            for (ptrdiff_t j = 0; j < tile.group && i + j < inputs; j++) {
                int8_t w = (int8_t)bits_of(row[i + j] * inverse + round_bias);
                if (tile.has_words)
                    ((int16_t *)to->weights)[at + j] = w;
                else
                    ((int8_t *)to->weights)[at + j] = w;
                sum += w;
            }
        }
        to->scales[o] = scale;
        to->sums[o] = sum;
    }
}

int32_t ck_int8_weight(const ck_int8_matrix *matrix, ptrdiff_t output, ptrdiff_t input) {
    struct int8_tile tile = int8_tile_for(matrix->isa, matrix->kind);
    ptrdiff_t at = column_of(output, matrix->inputs, tile) +
                   input / tile.group * tile.slice * tile.group + input % tile.group;
    return tile.has_words ? ((int16_t *)matrix->weights)[at] : ((int8_t *)matrix->weights)[at];
}

// Zero lies in the range, so that the zero point is one of the values.
CK_INLINE void quantize_row_body(const float *restrict x, ptrdiff_t width, void *restrict values,
                                 ptrdiff_t stride, enum ck_int8_kind kind, bool has_words,
                                 float *restrict scale, int32_t *restrict zero) {
    // Vectors, because compilers leave an array of lanes in memory.
    f32x16 lows = {0}, highs = {0};
    i32x16 exponents = {0};
    ptrdiff_t whole = width - width % LANES;
    for (ptrdiff_t i = 0; i < whole; i += LANES) {
        f32x16 v;
        memcpy(&v, x + i, sizeof v);
        lows = PICK(v < lows, v, lows);
        highs = PICK(v > highs, v, highs);
        // Comparisons pass over NaN; the largest exponent does not.
        i32x16 e = (i32x16)v & 0x7F800000;
        exponents = (i32x16)PICK(e > exponents, e, exponents);
    }
    float low = 0, high = 0;
    uint32_t exponent = 0;
    for (int j = 0; j < LANES; j++) {
        low = lows[j] < low ? lows[j] : low;
        high = highs[j] > high ? highs[j] : high;
        exponent = (uint32_t)exponents[j] > exponent ? (uint32_t)exponents[j] : exponent;
    }
    for (ptrdiff_t i = whole; i < width; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
        uint32_t e = bits_of(x[i]) & 0x7F800000u;
        exponent = e > exponent ? e : exponent;
    }
    bool wide = kind == CK_INT8_WIDE;
    float last = wide ? 65535 : kind == CK_INT7 ? 127 : 255;
    // Halves first: the range of finite numbers need not be finite.
    float step = (high / 2 - low / 2) / (last / 2);
    step = step > 0x1p-126f ? step : 0x1p-126f;
    float inverse = 1 / step;
    float origin = -low * inverse + round_bias - round_bias;
    origin = origin < last ? origin : last;
    float bottom = -origin, top = last - origin, bias = round_bias + origin;
    // Words are signed.
    uint32_t shift = wide && has_words ? 32768 : 0;
    uint8_t *restrict upper = values, *restrict lower = upper + stride;
    int16_t *restrict words = values;
#define EACH(STORE)                             \
    for (ptrdiff_t i = 0; i < width; i++) {     \
        float v = x[i] * inverse;               \
        v = v > bottom ? v : bottom;            \
        v = v < top ? v : top;                  \
        uint32_t q = bits_of(v + bias);         \
        STORE;                                  \
    }
    if (has_words) {
        EACH(words[i] = (int16_t)(q - shift))
    } else if (wide) {
        EACH(upper[i] = (uint8_t)(q >> 8); lower[i] = (uint8_t)q)
    } else {
        EACH(upper[i] = (uint8_t)q)
    }
#undef EACH
    *scale = exponent == 0x7F800000u ? NAN : step;
    *zero = (int32_t)origin - (int32_t)shift;
}
CK_VERSIONS(static, void, quantize_row,
            (const float *restrict x, ptrdiff_t width, void *restrict values, ptrdiff_t stride,
             enum ck_int8_kind kind, bool has_words, float *restrict scale, int32_t *restrict zero),
            (x, width, values, stride, kind, has_words, scale, zero))

// The first byte of a row of activations.
static inline char *row_of(const ck_int8_rows *x, ptrdiff_t row, enum ck_int8_kind kind,
                           bool has_words) {
    return (char *)x->values + row * x->stride * (kind == CK_INT8_WIDE || has_words ? 2 : 1);
}

static void quantize(const float *x, ptrdiff_t row, const ck_int8_matrix *weight,
                     const ck_int8_rows *to) {
    bool has_words = int8_tile_for(weight->isa, weight->kind).has_words;
    quantize_row(x, weight->inputs, row_of(to, row, weight->kind, has_words), to->stride,
                 weight->kind, has_words, to->scales + row, to->zeros + row);
}

void ck_int8_quantize(const float *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                      const ck_int8_rows *to) {
    for (ptrdiff_t row = 0; row < rows; row++) quantize(x + row * weight->inputs, row, weight, to);
}

void ck_int8_layer_norm_quantize(const float *x, ptrdiff_t rows, const float *norm_weight,
                                 const float *norm_bias, float epsilon, float *normed,
                                 const ck_int8_matrix *weight, const ck_int8_rows *to) {
    ptrdiff_t width = weight->inputs;
    for (ptrdiff_t row = 0; row < rows; row++) {
        ck_layer_norm(x + row * width, 1, width, width, norm_weight, norm_bias, epsilon, normed);
        quantize(normed, row, weight, to);
    }
}

int32_t ck_int8_value(const ck_int8_rows *x, const ck_int8_matrix *weight, ptrdiff_t row,
                      ptrdiff_t input) {
    bool has_words = int8_tile_for(weight->isa, weight->kind).has_words;
    const char *values = row_of(x, row, weight->kind, has_words);
    int32_t q;
    if (has_words) {
        q = ((const int16_t *)values)[input];
    } else {
        const uint8_t *upper = (const uint8_t *)values;
        q = upper[input];
        if (weight->kind == CK_INT8_WIDE) q = 256 * q + upper[x->stride + input];
    }
    return q - x->zeros[row];
}

// From integer sums of a tile to the layer's outputs.
// sums, low: [rows, PANEL], as int8_tile leaves them  out: `stride` elements between rows
CK_INLINE void finish_tile_body(const int32_t *restrict sums, const int32_t *restrict low,
                                bool wide, ptrdiff_t rows, ptrdiff_t columns,
                                const float *restrict scales, const int32_t *restrict zeros,
                                const float *restrict weight_scales,
                                const int32_t *restrict weight_sums, const float *restrict bias,
                                float *restrict out, ptrdiff_t stride, enum ck_epilogue epilogue) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float values[PANEL];
        float scale = scales[row];
        int32_t zero = zeros[row];
        if (wide)
            for (int j = 0; j < PANEL; j++) {
                int32_t upper = sums[row * PANEL + j] - (zero >> 8) * weight_sums[j];
                int32_t lower = low[row * PANEL + j] - (zero & 255) * weight_sums[j];
                // However a kernel has split the sum, the rest ends in 0...255: one rounding for all.
                upper += lower >> 8;
                lower &= 255;
                values[j] = ((float)upper * 256 + (float)lower) * scale * weight_scales[j];
            }
        else
            for (int j = 0; j < PANEL; j++)
                values[j] = (float)(sums[row * PANEL + j] - zero * weight_sums[j]) * scale *
                            weight_scales[j];
        apply_epilogue(values, columns, bias, out + row * stride, epilogue);
    }
}
CK_VERSIONS(static, void, finish_tile,
            (const int32_t *restrict sums, const int32_t *restrict low, bool wide, ptrdiff_t rows,
             ptrdiff_t columns, const float *restrict scales, const int32_t *restrict zeros,
             const float *restrict weight_scales, const int32_t *restrict weight_sums,
             const float *restrict bias, float *restrict out, ptrdiff_t stride,
             enum ck_epilogue epilogue),
            (sums, low, wide, rows, columns, scales, zeros, weight_scales, weight_sums, bias, out,
             stride, epilogue))

// A panel is used for all rows while it is in the caches: the caller chooses how many those are.
void ck_int8_linear(const ck_int8_rows *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                    const float *bias, float *out, enum ck_epilogue epilogue) {
    struct int8_tile tile = int8_tile_for(weight->isa, weight->kind);
    ptrdiff_t groups = (weight->inputs + tile.group - 1) / tile.group;
    ptrdiff_t panel_bytes = panel_size(weight->inputs, tile);
    ptrdiff_t slice_bytes = panel_bytes / PANEL * tile.slice;
    bool wide = weight->kind == CK_INT8_WIDE;
    _Alignas(64) int32_t sums[INT8_TILE_ROWS * PANEL], low[INT8_TILE_ROWS * PANEL];
    for (ptrdiff_t o = 0; o < weight->outputs; o += PANEL) {
        const char *panel = (const char *)weight->weights + o / PANEL * panel_bytes;
        ptrdiff_t left = weight->outputs - o;
        ptrdiff_t columns = left < PANEL ? left : PANEL;
        for (ptrdiff_t r = 0; r < rows; r += tile.rows) {
            ptrdiff_t count = rows - r < tile.rows ? rows - r : tile.rows;
            const char *from = row_of(x, r, weight->kind, tile.has_words);
            for (ptrdiff_t c = 0; c < PANEL; c += tile.slice)
                tile.sums(from, x->stride, count, panel + c / tile.slice * slice_bytes, groups,
                          wide, sums + c, low + c);
            finish_tile(sums, low, wide, count, columns, x->scales + r, x->zeros + r,
                        weight->scales + o, weight->sums + o, bias ? bias + o : NULL,
                        out + r * weight->outputs + o, weight->outputs, epilogue);
        }
    }
}
