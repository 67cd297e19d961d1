#pragma once

#include <stdint.h>
#include <string.h>

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
