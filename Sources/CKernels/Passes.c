#include "CKernels.h"
#include "Activation.h"
#include "Versions.h"

#include <math.h>
#include <string.h>

CK_INLINE void ck_layer_norm_body(const float *x, ptrdiff_t rows, ptrdiff_t width,
                                  ptrdiff_t stride, const float *weight, const float *bias,
                                  float epsilon, float *out) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        const float *in = x + row * stride;
        float *to = out + row * width;
        ptrdiff_t whole = width - width % LANE_COUNT;

        float lanes[LANE_COUNT] = {0};
        for (ptrdiff_t i = 0; i < whole; i += LANE_COUNT)
            for (int j = 0; j < LANE_COUNT; j++) lanes[j] += in[i + j];
        for (ptrdiff_t i = whole; i < width; i++) lanes[i - whole] += in[i];
        float mean = sum_of_lanes(lanes) / (float)width;

        memset(lanes, 0, sizeof lanes);
        for (ptrdiff_t i = 0; i < whole; i += LANE_COUNT)
            for (int j = 0; j < LANE_COUNT; j++) {
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
                                       const float *bias, enum ck_epilogue epilogue) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *restrict to = x + row * width;
        switch (epilogue) {
        case CK_STORE: case CK_ADD: ck_add_bias_body(to, 1, width, bias); break;
        case CK_APPLY_QUICK_GELU:
            for (ptrdiff_t i = 0; i < width; i++) to[i] = quick_gelu(to[i] + bias[i]);
            break;
        case CK_APPLY_GELU:
            for (ptrdiff_t i = 0; i < width; i++) to[i] = gelu(to[i] + bias[i]);
            break;
        case CK_APPLY_GELU_TANH:
            for (ptrdiff_t i = 0; i < width; i++) to[i] = gelu_tanh(to[i] + bias[i]);
            break;
        }
    }
}
CK_VERSIONS(, void, ck_bias_activation,
            (float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias,
             enum ck_epilogue epilogue),
            (x, rows, width, bias, epilogue))

void ck_l2_normalize(float *x, ptrdiff_t count) {
    double sum = 0;
    for (ptrdiff_t i = 0; i < count; i++) sum += (double)x[i] * x[i];
    if (sum == 0) return;
    float scale = (float)(1.0 / sqrt(sum));
    for (ptrdiff_t i = 0; i < count; i++) x[i] *= scale;
}
