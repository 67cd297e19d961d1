#include "Activation.h"
#include "CKernels.h"
#include "Int8Tile.h"

#include <math.h>
#include <string.h>

enum { PANEL = CK_INT8_PANEL, LANES = 16 };

typedef float f32x16 __attribute__((vector_size(64)));
typedef int32_t i32x16 __attribute__((vector_size(64)));

// Lane by lane, `a` where the mask is set, else `b`.
#define PICK(mask, a, b) ((f32x16)(((mask) & (i32x16)(a)) | (~(mask) & (i32x16)(b))))

static inline ptrdiff_t groups_of(ptrdiff_t inputs) { return (inputs + 3) / 4; }

static inline ptrdiff_t panels_of(ptrdiff_t outputs) { return (outputs + PANEL - 1) / PANEL; }

ptrdiff_t ck_int8_packed_size(ptrdiff_t inputs, ptrdiff_t outputs) {
    return panels_of(outputs) * groups_of(inputs) * 4 * PANEL;
}

// Adding it to a number below 2^22 rounds that to an integer, half to even, and leaves the integer in
// the low bits: unlike a conversion, defined for every number.
static const float round_bias = 12582912.0f; // 1.5 * 2^23

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

CK_MULTIVERSION
static float largest_magnitude(const float *x, ptrdiff_t count) {
    uint32_t largest = 0; // magnitudes are ordered as their bits are
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t magnitude = bits_of(x[i]) & 0x7FFFFFFF;
        largest = magnitude > largest ? magnitude : largest;
    }
    float value;
    memcpy(&value, &largest, sizeof value);
    return value;
}

// Quantises one output's weights into its column of a panel; returns their sum.
CK_MULTIVERSION
static int32_t pack_output(const float *weight, ptrdiff_t inputs, float inverse, int8_t *column) {
    int32_t sum = 0;
    for (ptrdiff_t i = 0; i < inputs; i++) {
        int8_t w = (int8_t)bits_of(weight[i] * inverse + round_bias);
        column[i / 4 * 4 * PANEL + i % 4] = w;
        sum += w;
    }
    return sum;
}

void ck_int8_pack(const float *weight, const ck_int8_matrix *to) {
    ptrdiff_t groups = groups_of(to->inputs);
    ptrdiff_t padded = panels_of(to->outputs) * PANEL;
    if (to->inputs % 4 || padded != to->outputs)
        memset(to->weights, 0, (size_t)ck_int8_packed_size(to->inputs, to->outputs));
    for (ptrdiff_t o = 0; o < padded; o++) {
        to->scales[o] = 0;
        to->sums[o] = 0;
        if (o >= to->outputs) continue;
        const float *row = weight + o * to->inputs;
        // The smallest normal number keeps the inverse of an all but zero row finite.
        float scale = fmaxf(largest_magnitude(row, to->inputs) / 127, 0x1p-126f);
        int8_t *column = to->weights + o / PANEL * groups * 4 * PANEL + o % PANEL * 4;
        to->scales[o] = scale;
        to->sums[o] = pack_output(row, to->inputs, 1 / scale, column);
    }
}

// Zero lies in the range, so that the zero point is one of the values. With `low_bytes` the values have
// 16 bits.
CK_MULTIVERSION
static void quantize_row(const float *restrict x, ptrdiff_t width, uint8_t *restrict q,
                         uint8_t *restrict low_bytes, float *restrict scale,
                         int32_t *restrict zero) {
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
    float last = low_bytes ? 65535 : 255;
    // Halves first: the range of finite numbers need not be finite.
    float step = (high / 2 - low / 2) / (last / 2);
    step = step > 0x1p-126f ? step : 0x1p-126f;
    float inverse = 1 / step;
    float origin = -low * inverse + round_bias - round_bias;
    origin = origin < last ? origin : last;
    float bottom = -origin, top = last - origin, bias = round_bias + origin;
    if (low_bytes)
        for (ptrdiff_t i = 0; i < width; i++) {
            float v = x[i] * inverse;
            v = v > bottom ? v : bottom;
            v = v < top ? v : top;
            uint32_t bits = bits_of(v + bias);
            q[i] = (uint8_t)(bits >> 8);
            low_bytes[i] = (uint8_t)bits;
        }
    else
        for (ptrdiff_t i = 0; i < width; i++) {
            float v = x[i] * inverse;
            v = v > bottom ? v : bottom;
            v = v < top ? v : top;
            q[i] = (uint8_t)bits_of(v + bias);
        }
    *scale = exponent == 0x7F800000u ? NAN : step;
    *zero = (int32_t)origin;
}

static void quantize(const float *x, ptrdiff_t row, const ck_int8_matrix *weight,
                     const ck_int8_rows *to) {
    quantize_row(x, weight->inputs, to->values + row * to->stride,
                 weight->wide ? to->low + row * to->stride : NULL, to->scales + row,
                 to->zeros + row);
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

// From integer sums of a tile to the layer's outputs.
// sums: [rows, PANEL], with `low` those of the upper bytes  low: those of the lower bytes, or NULL
// out: `stride` elements between rows
CK_MULTIVERSION
static void finish_tile(const int32_t *restrict sums, const int32_t *restrict low, ptrdiff_t rows,
                        ptrdiff_t columns, const float *restrict scales,
                        const int32_t *restrict zeros, const float *restrict weight_scales,
                        const int32_t *restrict weight_sums, const float *restrict bias,
                        float *restrict out, ptrdiff_t stride, enum ck_epilogue epilogue) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *to = out + row * stride;
        float values[PANEL];
        float scale = scales[row];
        int32_t zero = zeros[row];
        if (low)
            for (int j = 0; j < PANEL; j++) {
                int32_t upper = sums[row * PANEL + j] - (zero >> 8) * weight_sums[j];
                int32_t lower = low[row * PANEL + j] - (zero & 255) * weight_sums[j];
                values[j] = ((float)upper * 256 + (float)lower) * scale * weight_scales[j];
            }
        else
            for (int j = 0; j < PANEL; j++)
                values[j] = (float)(sums[row * PANEL + j] - zero * weight_sums[j]) * scale *
                            weight_scales[j];
        if (bias)
            for (ptrdiff_t j = 0; j < columns; j++) values[j] += bias[j];
        switch (epilogue) {
        case CK_STORE:
            for (ptrdiff_t j = 0; j < columns; j++) to[j] = values[j];
            break;
        case CK_ADD:
            for (ptrdiff_t j = 0; j < columns; j++) to[j] += values[j];
            break;
        case CK_APPLY_QUICK_GELU:
            for (ptrdiff_t j = 0; j < columns; j++) to[j] = quick_gelu(values[j]);
            break;
        case CK_APPLY_GELU:
            for (ptrdiff_t j = 0; j < columns; j++) to[j] = gelu(values[j]);
            break;
        case CK_APPLY_GELU_TANH:
            for (ptrdiff_t j = 0; j < columns; j++) to[j] = gelu_tanh(values[j]);
            break;
        }
    }
}

static void store_integers(const int32_t *sums, ptrdiff_t rows, ptrdiff_t columns,
                           const int32_t *zeros, const int32_t *weight_sums, int32_t *out,
                           ptrdiff_t stride) {
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t j = 0; j < columns; j++)
            out[row * stride + j] = sums[row * PANEL + j] - zeros[row] * weight_sums[j];
}

// A panel is used for all rows while it is in the caches: the caller chooses how many those are.
static void multiply(const ck_int8_rows *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                     const float *bias, float *out, int32_t *integers, enum ck_epilogue epilogue,
                     enum ck_int8_isa isa) {
    struct int8_tile tile = int8_tile_for(isa);
    ptrdiff_t groups = groups_of(weight->inputs);
    _Alignas(64) int32_t sums[INT8_TILE_ROWS * PANEL], low[INT8_TILE_ROWS * PANEL];
    for (ptrdiff_t o = 0; o < weight->outputs; o += PANEL) {
        const int8_t *panel = weight->weights + o * groups * 4;
        ptrdiff_t left = weight->outputs - o;
        ptrdiff_t columns = left < PANEL ? left : PANEL;
        for (ptrdiff_t r = 0; r < rows; r += tile.rows) {
            ptrdiff_t count = rows - r < tile.rows ? rows - r : tile.rows;
            tile.sums(x->values + r * x->stride, x->stride, count, panel, groups, sums);
            if (weight->wide)
                tile.sums(x->low + r * x->stride, x->stride, count, panel, groups, low);
            if (integers)
                store_integers(sums, count, columns, x->zeros + r, weight->sums + o,
                               integers + r * weight->outputs + o, weight->outputs);
            else
                finish_tile(sums, weight->wide ? low : NULL, count, columns, x->scales + r,
                            x->zeros + r, weight->scales + o, weight->sums + o,
                            bias ? bias + o : NULL, out + r * weight->outputs + o,
                            weight->outputs, epilogue);
        }
    }
}

void ck_int8_linear(const ck_int8_rows *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                    const float *bias, float *out, enum ck_epilogue epilogue, enum ck_int8_isa isa) {
    multiply(x, rows, weight, bias, out, NULL, epilogue, isa);
}

void ck_int8_product(const ck_int8_rows *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                     int32_t *out, enum ck_int8_isa isa) {
    multiply(x, rows, weight, NULL, NULL, out, CK_STORE, isa);
}
