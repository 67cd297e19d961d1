#include "CKernels.h"

#include <math.h>
#include <string.h>

// Sums in this many lanes: compilers may not reorder a plain sum, but they vectorise independent
// lanes, and the error grows with count / LANES instead of count.
enum { LANES = 16 };

static inline float sum_of_lanes(const float lanes[LANES]) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += lanes[i];
    return sum;
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

CK_MULTIVERSION
void ck_layer_norm(const float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride,
                   const float *weight, const float *bias, float *out) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        const float *in = x + row * stride;
        float *to = out + row * width;
        ptrdiff_t whole = width - width % LANES;

        float lanes[LANES] = {0};
        for (ptrdiff_t i = 0; i < whole; i += LANES)
            for (int j = 0; j < LANES; j++) lanes[j] += in[i + j];
        for (ptrdiff_t i = whole; i < width; i++) lanes[i - whole] += in[i];
        float mean = sum_of_lanes(lanes) / (float)width;

        memset(lanes, 0, sizeof lanes);
        for (ptrdiff_t i = 0; i < whole; i += LANES)
            for (int j = 0; j < LANES; j++) {
                float d = in[i + j] - mean;
                lanes[j] += d * d;
            }
        for (ptrdiff_t i = whole; i < width; i++) {
            float d = in[i] - mean;
            lanes[i - whole] += d * d;
        }
        float scale = 1.0f / sqrtf(sum_of_lanes(lanes) / (float)width + 1e-5f);

        for (ptrdiff_t i = 0; i < width; i++) to[i] = (in[i] - mean) * scale * weight[i] + bias[i];
    }
}

CK_MULTIVERSION
void ck_add_bias(float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *restrict to = x + row * width;
        for (ptrdiff_t i = 0; i < width; i++) to[i] += bias[i];
    }
}

CK_MULTIVERSION
void ck_bias_quick_gelu(float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *restrict to = x + row * width;
        for (ptrdiff_t i = 0; i < width; i++) {
            float v = to[i] + bias[i];
            to[i] = v / (1.0f + fast_exp(-1.702f * v));
        }
    }
}

CK_MULTIVERSION
void ck_softmax(float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride, bool causal) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *restrict to = x + row * stride;
        ptrdiff_t seen = causal && row + 1 < width ? row + 1 : width;
        ptrdiff_t whole = seen - seen % LANES;

        float lanes[LANES];
        for (int j = 0; j < LANES; j++) lanes[j] = to[0];
        for (ptrdiff_t i = 0; i < whole; i += LANES)
            for (int j = 0; j < LANES; j++) lanes[j] = to[i + j] > lanes[j] ? to[i + j] : lanes[j];
        for (ptrdiff_t i = whole; i < seen; i++)
            lanes[i - whole] = to[i] > lanes[i - whole] ? to[i] : lanes[i - whole];
        float maximum = lanes[0];
        for (int j = 1; j < LANES; j++) maximum = lanes[j] > maximum ? lanes[j] : maximum;

        for (ptrdiff_t i = 0; i < seen; i++) to[i] = fast_exp(to[i] - maximum);
        memset(lanes, 0, sizeof lanes);
        for (ptrdiff_t i = 0; i < whole; i += LANES)
            for (int j = 0; j < LANES; j++) lanes[j] += to[i + j];
        for (ptrdiff_t i = whole; i < seen; i++) lanes[i - whole] += to[i];
        float scale = 1.0f / sum_of_lanes(lanes);
        for (ptrdiff_t i = 0; i < seen; i++) to[i] *= scale;
        for (ptrdiff_t i = seen; i < width; i++) to[i] = 0;
    }
}

void ck_l2_normalize(float *x, ptrdiff_t count) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    if (sum == 0) return;
    float scale = (float)(1.0 / sqrt(sum));
    for (ptrdiff_t i = 0; i < count; i++) x[i] *= scale;
}
