#pragma once

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "LinearFloat.h"

// Sums and maxima in this many lanes: compilers may not reorder a plain sum, but they vectorise
// independent lanes, and the error grows with count / LANE_COUNT instead of count.
enum { LANE_COUNT = 16 };

static inline float sum_of_lanes(float lanes[LANE_COUNT]) {
    for (int half = LANE_COUNT / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

// e^x within 2 units in the last place for x in -87...88, clamped outside.
//
// Range reduction to |r| <= ln(2)/2 (Cody and Waite 1980), then the Taylor polynomial of degree 7,
// whose remainder r^8/8! is below 6e-9 there. Branch-free, so that loops over it vectorise.
static inline float fast_exp(float x) {
    const float log2_e = 1.44269504f;
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const float round_bias = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float biased = x * log2_e + round_bias;
    float n = biased - round_bias;
    float r = (x - n * ln2_high) - n * ln2_low;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    // The biased number's low bits are n: no conversion, which C leaves undefined for NaN.
    uint32_t bits;
    memcpy(&bits, &biased, sizeof bits);
    bits = (bits - 0x4B400000u + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

// OpenAI's QuickGELU.
static inline float quick_gelu(float v) { return v / (1.0f + fast_exp(-1.702f * v)); }

// v times the normal distribution function, within 4e-7 for |v| < 12.
//
// erfc(a) = e^(-a^2) q(t), t = 1 / (1 + 0.3 a): the form of Abramowitz and Stegun 7.1.26 with a
// polynomial of degree 9, fitted here for the least relative error (2e-8) on a = 0...10.
static inline float gelu(float v) {
    float a = fabsf(v) * 0.70710678f;
    float t = 1.0f / (1.0f + 0.3f * a);
    float q = -0.1295236349f;
    q = q * t + 0.4855668545f;
    q = q * t - 0.5122858286f;
    q = q * t + 0.5477291942f;
    q = q * t - 0.0946572646f;
    q = q * t + 0.2149289399f;
    q = q * t + 0.1483384073f;
    q = q * t + 0.1707153320f;
    q = q * t + 0.1691879928f;
    float tail = 0.5f * t * q * fast_exp(-a * a);
    return v * (v < 0 ? tail : 1.0f - tail);
}

// v (1 + tanh u) / 2 = v sigmoid(2 u), u = sqrt(2 / pi) (v + 0.044715 v^3).
static inline float gelu_tanh(float v) {
    return v / (1.0f + fast_exp(-1.5957691f * v * (1.0f + 0.044715f * v * v)));
}

// What becomes of a row of a layer's sums, y. bias: [count], or NULL for none
static inline __attribute__((always_inline)) void apply_epilogue(float *restrict y, ptrdiff_t count,
                                                                 const float *restrict bias,
                                                                 float *restrict out,
                                                                 enum ck_epilogue epilogue) {
    if (bias)
        for (ptrdiff_t j = 0; j < count; j++) y[j] += bias[j];
    switch (epilogue) {
    case CK_STORE:
        for (ptrdiff_t j = 0; j < count; j++) out[j] = y[j];
        break;
    case CK_ADD:
        for (ptrdiff_t j = 0; j < count; j++) out[j] += y[j];
        break;
    case CK_APPLY_QUICK_GELU:
        for (ptrdiff_t j = 0; j < count; j++) out[j] = quick_gelu(y[j]);
        break;
    case CK_APPLY_GELU:
        for (ptrdiff_t j = 0; j < count; j++) out[j] = gelu(y[j]);
        break;
    case CK_APPLY_GELU_TANH:
        for (ptrdiff_t j = 0; j < count; j++) out[j] = gelu_tanh(y[j]);
        break;
    }
}
