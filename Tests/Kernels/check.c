// Checks the kernels against plain formulas in fp64, each instruction set that the processor has in turn.
// In C, so that it can be built for other processors and run under QEMU; test_kernels.py does.
#include "CKernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t state = 1;

// In -1..<1.
static float draw(void) {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) * 0x1p-23f - 1;
}

static float *floats(size_t count) {
    float *x = aligned_alloc(64, (4 * count + 63) / 64 * 64);
    for (size_t i = 0; i < count; i++) x[i] = draw();
    return x;
}

static int failures;

static void check(const char *what, const char *isa, double worst, double bound) {
    int failed = !(worst <= bound);
    failures += failed;
    printf("%s %s: %.2g%s\n", isa, what, worst, failed ? " FAILED" : "");
}

static double difference(const float *ours, const double *exact, size_t count, double floor) {
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs(ours[i] - exact[i]) / fmax(fabs(exact[i]), floor);
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

static double activated(double v, enum ck_epilogue kind) {
    switch (kind) {
    case CK_APPLY_GELU: return v * erfc(-v / sqrt(2)) / 2;
    case CK_APPLY_GELU_TANH: return v / 2 * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    default: return v / (1 + exp(-1.702 * v));
    }
}

enum { ROWS = 11, WIDTH = 77 };

static void check_passes(const char *isa) {
    float *x = floats(ROWS * WIDTH), *w = floats(WIDTH), *b = floats(WIDTH);
    float *out = floats(ROWS * WIDTH);
    double exact[ROWS * WIDTH];

    for (int r = 0; r < ROWS; r++) {
        const float *row = x + r * WIDTH;
        double mean = 0, variance = 0;
        for (int i = 0; i < WIDTH; i++) mean += row[i] / (double)WIDTH;
        for (int i = 0; i < WIDTH; i++) variance += (row[i] - mean) * (row[i] - mean) / WIDTH;
        for (int i = 0; i < WIDTH; i++)
            exact[r * WIDTH + i] = (row[i] - mean) / sqrt(variance + 1e-5) * w[i] + b[i];
    }
    ck_layer_norm(x, ROWS, WIDTH, WIDTH, w, b, 1e-5f, out);
    check("layer norm", isa, difference(out, exact, ROWS * WIDTH, 1), 1e-5);

    for (int kind = CK_APPLY_QUICK_GELU; kind <= CK_APPLY_GELU_TANH; kind++) {
        for (int i = 0; i < ROWS * WIDTH; i++) {
            out[i] = 4 * x[i];
            exact[i] = activated(out[i] + b[i % WIDTH], kind);
        }
        ck_bias_activation(out, ROWS, WIDTH, b, kind);
        check("activation", isa, difference(out, exact, ROWS * WIDTH, 1e-2), 1e-5);
    }

    free(x), free(w), free(b), free(out);
}

// One head: `length` queries, keys and values of `width` features.
static void check_attention(const char *isa, enum ck_isa set, int length, int width, bool causal) {
    int stride = width + 1;
    float *q = floats(length * stride), *k = floats(length * stride), *v = floats(length * stride);
    float *out = floats(length * width), *scratch = floats(ck_attention_scratch(length, width));
    double *exact = calloc(length * width, sizeof *exact), *weights = calloc(length, sizeof *weights);
    for (int r = 0; r < length; r++) {
        int seen = causal ? r + 1 : length;
        double sum = 0;
        for (int i = 0; i < seen; i++) {
            double score = 0;
            for (int j = 0; j < width; j++) score += (double)q[r * stride + j] * k[i * stride + j];
            sum += weights[i] = exp(score / sqrt(width));
        }
        for (int i = 0; i < seen; i++)
            for (int j = 0; j < width; j++)
                exact[r * width + j] += weights[i] / sum * v[i * stride + j];
    }
    ck_attention_shape shape = {length, length, width, stride, stride, width, causal, set};
    ck_attention(&shape, q, k, v, scratch, out);
    check(causal ? "causal attention" : "attention", isa, difference(out, exact, length * width, 1),
          1e-5);
    free(q), free(k), free(v), free(out), free(scratch), free(exact), free(weights);
}

static void check_half(const char *isa, enum ck_isa set, int rows, int inputs, int outputs) {
    float *x = floats(rows * inputs), *out = floats(rows * outputs);
    char *weight = malloc(2 * inputs * outputs + 1);
    double *exact = calloc(rows * outputs, sizeof *exact);
    for (int i = 0; i < inputs * outputs; i++) {
        uint16_t half = (uint16_t)(0x2800 + (state & 0x87FF)); // ±0.03 to ±0.125
        draw();
        memcpy(weight + 1 + 2 * i, &half, 2);
    }
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outputs; o++) {
            double sum = out[r * outputs + o];
            for (int i = 0; i < inputs; i++) {
                uint16_t half;
                memcpy(&half, weight + 1 + 2 * (o * inputs + i), 2);
                double value = ldexp(1024 + (half & 1023), (half >> 10 & 31) - 25);
                sum += x[r * inputs + i] * (half & 0x8000 ? -value : value);
            }
            exact[r * outputs + o] = sum;
        }
    ck_linear_half(x, rows, weight + 1, inputs, outputs, out, outputs, true, set);
    check("fp16 weights", isa, difference(out, exact, rows * outputs, 1), 1e-5);
    free(x), free(out), free(weight), free(exact);
}

static void check_float(const char *isa, enum ck_isa set, int rows, int inputs, int outputs) {
    ck_float_matrix m = {inputs, outputs, ck_float_slice(outputs, set), set,
                         NULL};
    if (!m.slice) return;
    m.weights = floats(ck_float_packed_size(inputs, outputs, m.slice) / 4);
    float *x = floats(rows * inputs), *w = floats(inputs * outputs), *out = floats(rows * outputs);
    double *exact = calloc(rows * outputs, sizeof *exact);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outputs; o++)
            for (int i = 0; i < inputs; i++)
                exact[r * outputs + o] += (double)x[r * inputs + i] * w[o * inputs + i];
    ck_float_pack(w, &m);
    ck_float_linear(x, rows, &m, NULL, out, CK_STORE);
    check("packed fp32", isa, difference(out, exact, rows * outputs, 1), 1e-5);
    free(m.weights), free(x), free(w), free(out), free(exact);
}

// The sums are integers, so the result is exact up to the rounding of the last steps.
static void check_int8(const char *isa, enum ck_isa set, int rows, int inputs, int outputs,
                       enum ck_int8_kind kind) {
    ptrdiff_t padded = (outputs + 63) / 64 * 64, stride = (inputs + 7) / 8 * 8;
    ck_int8_matrix m = {inputs, outputs, kind, set, NULL, floats(padded), malloc(4 * padded)};
    m.weights = aligned_alloc(64, ck_int8_packed_size(inputs, outputs, kind, set));
    ck_int8_rows q = {stride, calloc(rows, 2 * stride), floats(rows), malloc(4 * rows)};
    float *x = floats(rows * inputs), *w = floats(inputs * outputs), *out = floats(rows * outputs);
    double *exact = calloc(rows * outputs, sizeof *exact);
    ck_int8_pack(w, &m);
    ck_int8_quantize(x, rows, &m, &q);
    ck_int8_linear(&q, rows, &m, NULL, out, CK_STORE);
    double quantised = 0;
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < inputs; i++) {
            double value = q.scales[r] * (double)ck_int8_value(&q, &m, r, i);
            quantised = fmax(quantised, fabs(value - x[r * inputs + i]) / q.scales[r]);
        }
        for (int o = 0; o < outputs; o++) {
            int64_t sum = 0;
            for (int i = 0; i < inputs; i++)
                sum += (int64_t)ck_int8_value(&q, &m, r, i) * ck_int8_weight(&m, o, i);
            exact[r * outputs + o] = (double)sum * q.scales[r] * m.scales[o];
        }
    }
    static const char *const names[] = {"int8", "int8, 16-bit activations", "int7"};
    check("quantised activations", isa, quantised, 1.02);
    check(names[kind], isa, difference(out, exact, rows * outputs, 1e-3), 1e-5);
    free(m.weights), free(m.scales), free(m.sums), free(q.values), free(q.scales), free(q.zeros);
    free(x), free(w), free(out), free(exact);
}

int main(void) {
    for (enum ck_isa isa = 0; isa < CK_ISA_COUNT; isa++) {
        if (!ck_isa_has(isa)) continue;
        ck_isa_limit(isa);
        const char *name = ck_isa_name(ck_isa_in_use());
        check_passes(name);
        check_half(name, isa, 1, 64, 8);
        check_half(name, isa, 5, 77, 11);
        check_half(name, isa, 13, 2100, 9);
        check_float(name, isa, 7, 50, 192);
        check_float(name, isa, 5, 51, 70);
        for (int causal = 0; causal < 2; causal++) {
            check_attention(name, isa, 50, 64, causal);
            check_attention(name, isa, 77, 13, causal);
        }
        for (enum ck_int8_kind kind = CK_INT8; kind <= CK_INT7; kind++) {
            check_int8(name, isa, 1, 3, 1, kind);
            check_int8(name, isa, 13, 1030, 70, kind);
        }
    }
    return failures > 0;
}
