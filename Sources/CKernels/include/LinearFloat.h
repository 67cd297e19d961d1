// Linear layers in fp32 whose weights were packed when they were loaded.
//
// Each output of each row is summed over the inputs in their order, with one multiply-add an input, so it
// has the same bits whatever rows are computed beside it.
#pragma once

#include <stddef.h>

#include "Isa.h"

// What a linear layer does with y = x Wᵀ + bias.
enum ck_epilogue {
    CK_STORE,             // out = y
    CK_ADD,               // out += y
    CK_APPLY_QUICK_GELU,  // out = quick_gelu(y): y * sigmoid(1.702 y), OpenAI's QuickGELU
    CK_APPLY_GELU,        // out = gelu(y): y * (1 + erf(y / sqrt 2)) / 2, torch.nn.GELU's default
    CK_APPLY_GELU_TANH,   // out = gelu_tanh(y): its approximation by tanh, torch.nn.GELU(approximate="tanh")
};

typedef struct {
    ptrdiff_t inputs, outputs;
    // Outputs that lie side by side: ck_float_slice's.
    ptrdiff_t slice;
    enum ck_isa isa;  // whose kernel multiplies it; the processor must have it
    float *weights;   // ck_float_packed_size bytes, 64-byte aligned: [slices, inputs, slice]
} ck_float_matrix;

// Outputs side by side in the kernel for an instruction set; 0 where there is none and BLAS multiplies.
ptrdiff_t ck_float_slice(ptrdiff_t outputs, enum ck_isa isa);

// Bytes of a packed matrix: whole slices.
ptrdiff_t ck_float_packed_size(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t slice);

// Packs [outputs, inputs].
void ck_float_pack(const float *weight, const ck_float_matrix *to);

// x: [rows, inputs]  bias: [outputs], or NULL for none  out: [rows, outputs]
void ck_float_linear(const float *x, ptrdiff_t rows, const ck_float_matrix *weight,
                     const float *bias, float *out, enum ck_epilogue epilogue);
