#include "CKernels.h"

#include <math.h>

void ck_reference_layer_norm(const float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride,
                             const float *weight, const float *bias, float *out) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        const float *in = x + row * stride;
        double mean = 0, variance = 0;
        for (ptrdiff_t i = 0; i < width; i++) mean += in[i];
        mean /= (double)width;
        for (ptrdiff_t i = 0; i < width; i++) variance += (in[i] - mean) * (in[i] - mean);
        variance /= (double)width;
        for (ptrdiff_t i = 0; i < width; i++)
            out[row * width + i] =
                (float)((in[i] - mean) / sqrt(variance + 1e-5) * weight[i] + bias[i]);
    }
}

void ck_reference_bias_quick_gelu(float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias) {
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t i = 0; i < width; i++) {
            double v = (double)x[row * width + i] + bias[i];
            x[row * width + i] = (float)(v / (1 + exp(-1.702 * v)));
        }
}

void ck_reference_softmax(float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride,
                          bool causal) {
    for (ptrdiff_t row = 0; row < rows; row++) {
        float *to = x + row * stride;
        ptrdiff_t seen = causal && row + 1 < width ? row + 1 : width;
        double maximum = -INFINITY, sum = 0;
        for (ptrdiff_t i = 0; i < seen; i++) maximum = fmax(maximum, to[i]);
        for (ptrdiff_t i = 0; i < seen; i++) sum += exp(to[i] - maximum);
        for (ptrdiff_t i = 0; i < width; i++)
            to[i] = i < seen ? (float)(exp(to[i] - maximum) / sum) : 0;
    }
}
