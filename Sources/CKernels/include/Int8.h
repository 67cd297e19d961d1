// Linear layers on 8-bit integers: weights quantised once, a scale for each output; activations when
// they come, a scale and a zero point for each row. MODEL.md has the mathematics.
//
//     W[o, i] ≈ weight_scale[o] · w[o, i]              w in -127...127
//     x[r, i] ≈ scale[r] · (q[r, i] − zero[r])         q in 0...255, zero in 0...255
//     Σ x W   ≈ scale[r] · weight_scale[o] · (Σ q w − zero[r] · Σ w)
//
// The sums are exact in 32 bits, so every instruction set gives the same ones.
//
// Where 8 bits are too few for the activations, q and zero have 16: Σ q w is then 256 times the sum over
// the upper bytes and the sum over the lower.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    // Outputs that are computed together: a panel of the packed weights.
    CK_INT8_PANEL = 64,
    // With more inputs a sum might not fit in 32 bits: 65,793 · 255 · 128 < 2^31.
    CK_INT8_MAX_INPUTS = 65536,
};

// Instruction sets that the product is written for; a test can force one. Forcing one that the
// machine lacks ends the program.
enum ck_int8_isa {
    CK_INT8_BEST = 0,
    CK_INT8_ANY,
    CK_INT8_AVX2,
    CK_INT8_AVX512_VNNI,
    CK_INT8_NEON_DOT,  // aarch64 with the dot product extension
};

// Whether this machine can run it.
bool ck_int8_has(enum ck_int8_isa isa);

// A quantised matrix, [outputs, inputs], in memory of the caller's.
typedef struct {
    ptrdiff_t inputs, outputs;
    // Whether its activations get 16 bits, as two planes of 8: twice the work.
    bool wide;
    int8_t *weights;  // packed, ck_int8_packed_size bytes, 64-byte aligned
    float *scales;    // [outputs rounded up to whole panels]
    int32_t *sums;    // of each output's weights, [outputs rounded up to whole panels]
} ck_int8_matrix;

// Bytes of a packed matrix: whole panels of 64 outputs, groups of 4 inputs; zeros fill them up.
ptrdiff_t ck_int8_packed_size(ptrdiff_t inputs, ptrdiff_t outputs);

// Quantises a finite matrix into `to`, whose sizes are set and whose memory is there.
// weight: [outputs, inputs]
void ck_int8_pack(const float *weight, const ck_int8_matrix *to);

// Quantised activations, in memory of the caller's.
typedef struct {
    ptrdiff_t stride;  // bytes between rows: at least the width, rounded up to a multiple of 4
    uint8_t *values;   // [rows, stride]; of wide ones the upper bytes
    uint8_t *low;      // [rows, stride]; of wide ones the lower bytes, else not used
    float *scales;     // [rows]
    int32_t *zeros;    // [rows]; of wide ones in 0...65,535
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

// What is done with y = x Wᵀ + bias.
enum ck_epilogue {
    CK_STORE,             // out = y
    CK_ADD,               // out += y
    CK_APPLY_QUICK_GELU,  // out = quick_gelu(y)
    CK_APPLY_GELU,        // out = gelu(y)
    CK_APPLY_GELU_TANH,   // out = gelu_tanh(y)
};

// A linear layer. x: [rows, inputs]  bias: [outputs], or NULL for none  out: [rows, outputs]
void ck_int8_linear(const ck_int8_rows *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                    const float *bias, float *out, enum ck_epilogue epilogue, enum ck_int8_isa isa);

// The integer product alone, Σ (q − zero) w, for tests; of matrices that are not wide.
// out: [rows, outputs]
void ck_int8_product(const ck_int8_rows *x, ptrdiff_t rows, const ck_int8_matrix *weight,
                     int32_t *out, enum ck_int8_isa isa);
