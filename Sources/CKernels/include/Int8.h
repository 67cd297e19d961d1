// Linear layers on 8-bit integers: weights quantised once, a scale for each output; activations as
// they come, a scale and a zero point for each row. MODEL.md has the mathematics.
//
//     W[o, i] ≈ weight_scale[o] · w[o, i]              w in -127...127
//     x[r, i] ≈ scale[r] · (q[r, i] − zero[r])         q in 0...255, zero in 0...255
//     Σ x W   ≈ scale[r] · weight_scale[o] · (Σ q w − zero[r] · Σ w)
//
// Where 8 bits are too few for the activations, q and zero have 16; of 7 bits, w is in -63...63, q and zero in
// 0...127.
//
// The sums are exact, so every instruction set gives the same ones. How weights and activations lie in
// memory depends on the instruction set that a matrix was packed for.
#pragma once

#include <stdint.h>

#include "LinearFloat.h"

enum {
    // Outputs that are computed together: a panel of the packed weights.
    CK_INT8_PANEL = 64,
    // With more inputs a sum might not fit in 32 bits: 65,793 · 255 · 128 < 2^31.
    CK_INT8_MAX_INPUTS = 65536,
};

// Bits of weights and of activations.
enum ck_int8_kind {
    CK_INT8,       // 8 and 8
    CK_INT8_WIDE,  // 8 and 16
    CK_INT7,       // 7 and 7: four products fit in 16 bits, with which AVX2 multiplies fastest
};

// A quantised matrix, [outputs, inputs], in memory of the caller's.
typedef struct {
    ptrdiff_t inputs, outputs;
    enum ck_int8_kind kind;
    enum ck_isa isa;  // whose kernel multiplies it; the processor must have it
    void *weights;    // packed, ck_int8_packed_size bytes, 64-byte aligned
    float *scales;    // [outputs rounded up to whole panels]
    int32_t *sums;    // of each output's weights, [outputs rounded up to whole panels]
} ck_int8_matrix;

// Bytes of a packed matrix: whole panels of 64 outputs, whole groups of inputs; zeros fill them up.
ptrdiff_t ck_int8_packed_size(ptrdiff_t inputs, ptrdiff_t outputs, enum ck_int8_kind kind,
                              enum ck_isa isa);

// Quantises a finite matrix into `to`, whose other members are set.
// weight: [outputs, inputs]
void ck_int8_pack(const float *weight, const ck_int8_matrix *to);

// One quantised weight, for tests.
int32_t ck_int8_weight(const ck_int8_matrix *matrix, ptrdiff_t output, ptrdiff_t input);

// Quantised activations, in memory of the caller's.
typedef struct {
    ptrdiff_t stride;  // elements between rows: at least the width, rounded up to a multiple of 8
    // [rows, stride]: bytes; where a row has 16 bits, or the kernel takes words, 2 bytes an element
    void *values;
    float *scales;     // [rows]
    int32_t *zeros;    // [rows]
} ck_int8_rows;

// Quantises rows for a matrix; one that is not finite everywhere gets a scale that is not, so nothing
// hides it. x: [rows, inputs], dense
void ck_int8_quantize(const float *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                      const ck_int8_rows *to);

// The same of ck_layer_norm's output, a row at a time. x: [rows, inputs], dense
// norm_weight, norm_bias, row: [inputs]; `row` is overwritten
void ck_int8_layer_norm_quantize(const float *x, ptrdiff_t rows, const float *norm_weight,
                                 const float *norm_bias, float epsilon, float *row,
                                 const ck_int8_matrix *weight, const ck_int8_rows *to);

// q − zero of one activation, for tests.
int32_t ck_int8_value(const ck_int8_rows *x, const ck_int8_matrix *weight, ptrdiff_t row,
                      ptrdiff_t input);

// A linear layer. x: [rows, inputs], quantised for this matrix  bias: [outputs], or NULL for none
// out: [rows, outputs]
void ck_int8_linear(const ck_int8_rows *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                    const float *bias, float *out, enum ck_epilogue epilogue);
