// Elementwise and row-wise passes of the transformer, in plain C that compilers vectorise.
//
// Every function works on row-major fp32 and is a pure function of its arguments. The tests compare
// each with a plain version of the same formula.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "Int8.h"
#include "Isa.h"
#include "LinearFloat.h"
#include "Pixels.h"

// Layer norm over the last dimension (Ba et al. 2016; torch.nn.LayerNorm).
// x, out: [rows, width]; weight, bias: [width]. `out` may be `x`. `stride` is the distance between
// the rows of `x`, in elements; the rows of `out` are dense.
void ck_layer_norm(const float *x, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t stride,
                   const float *weight, const float *bias, float epsilon, float *out);

// x[r, :] += bias. x: [rows, width]; bias: [width].
void ck_add_bias(float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias);

// x = activation(x + bias), for an epilogue that applies one; else x += bias. x: [rows, width]; bias: [width].
void ck_bias_activation(float *x, ptrdiff_t rows, ptrdiff_t width, const float *bias,
                        enum ck_epilogue epilogue);

// Scaled dot-product attention of one head (Vaswani et al. 2017, section 3.2):
// out = softmax(Q Kᵀ / sqrt(width)) V. What it computes for a query does not depend on the others.
typedef struct {
    ptrdiff_t count, length, width;                // queries; keys and values; features of each
    ptrdiff_t query_stride, stride, out_stride;    // elements between rows of Q, of K and V, of out
    bool causal;                                   // whether query r sees keys 0...r only; count = length
    enum ck_isa isa;                               // whose kernel computes it
} ck_attention_shape;

// queries: [count, width]  keys, values: [length, width]  out: [count, width]
// scratch: ck_attention_scratch floats, 64-byte aligned
void ck_attention(const ck_attention_shape *shape, const float *queries, const float *keys,
                  const float *values, float *scratch, float *out);
ptrdiff_t ck_attention_scratch(ptrdiff_t length, ptrdiff_t width);

// Divides a vector by its Euclidean length; a zero vector stays zero. x: [count].
void ck_l2_normalize(float *x, ptrdiff_t count);

// Conversions to fp32, exact. The source need not be aligned.
float ck_half_to_float(uint16_t half);
void ck_float_from_half(const void *source, float *out, ptrdiff_t count);
void ck_float_from_bfloat(const void *source, float *out, ptrdiff_t count);

// Whether no element is infinite or NaN.
bool ck_all_finite(const float *x, ptrdiff_t count);

// The commit that this was built from, empty outside of a git checkout.
const char *ck_build_commit(void);

// A linear layer whose weights are fp16 as in the file, for few rows: out = x W^T, or out += x W^T with
// `accumulate`; summed in fp32.
// x: [rows, inputs]  weight: [outputs, inputs], IEEE binary16, unaligned
// out: [rows, outputs], `stride` elements between rows
void ck_linear_half(const float *x, ptrdiff_t rows, const void *weight, ptrdiff_t inputs,
                    ptrdiff_t outputs, float *out, ptrdiff_t stride, bool accumulate,
                    enum ck_isa isa);
