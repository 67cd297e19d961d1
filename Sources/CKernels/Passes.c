#include "CKernels.h"
#include "Activation.h"
#include "Versions.h"

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

CK_INLINE void ck_layer_norm_body(const float *x, ptrdiff_t rows, ptrdiff_t width,
                                  ptrdiff_t stride, const float *weight, const float *bias,
                                  float epsilon, float *out) {
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
        float scale = 1.0f / sqrtf(sum_of_lanes(lanes) / (float)width + epsilon);

        for (ptrdiff_t i = 0; i < width; i++) to[i] = (in[i] - mean) * scale * weight[i] + bias[i];
    }
}
CK_VERSIONS(, void, ck_layer_norm,
            (const float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride, const float *weight,
             const float *bias, float epsilon, float *out),
            (x, rows, width, stride, weight, bias, epsilon, out))

CK_INLINE void ck_add_bias_body(float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *restrict to = x + row * width;
        for (ptrdiff_t i = 0; i < width; i++) to[i] += bias[i];
    }
}
CK_VERSIONS(, void, ck_add_bias,
            (float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias), (x, rows, width, bias))

CK_INLINE void ck_bias_activation_body(float *x, ptrdiff_t rows, ptrdiff_t width,
                                       const float *bias, enum ck_activation activation) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *restrict to = x + row * width;
        switch (activation) {
        case CK_QUICK_GELU:
            for (ptrdiff_t i = 0; i < width; i++) to[i] = quick_gelu(to[i] + bias[i]);
            break;
        case CK_GELU:
            for (ptrdiff_t i = 0; i < width; i++) to[i] = gelu(to[i] + bias[i]);
            break;
        case CK_GELU_TANH:
            for (ptrdiff_t i = 0; i < width; i++) to[i] = gelu_tanh(to[i] + bias[i]);
            break;
        }
    }
}
CK_VERSIONS(, void, ck_bias_activation,
            (float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias,
             enum ck_activation activation),
            (x, rows, width, bias, activation))

CK_INLINE void ck_softmax_body(float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride,
                               bool causal) {
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
CK_VERSIONS(, void, ck_softmax,
            (float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride, bool causal),
            (x, rows, width, stride, causal))

void ck_l2_normalize(float *x, ptrdiff_t count) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    if (sum == 0) return;
    float scale = (float)(1.0 / sqrt(sum));
    for (ptrdiff_t i = 0; i < count; i++) x[i] *= scale;
}
