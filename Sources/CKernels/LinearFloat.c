#include <stdlib.h>
#include <string.h>

#include "Activation.h"
#include "Packing.h"
#include "Versions.h"

typedef float f32x4 __attribute__((vector_size(16)));

CK_INLINE void transpose(f32x4 v[4]) {
    f32x4 a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5);
    f32x4 b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    f32x4 c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
    f32x4 d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    v[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    v[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
}

ptrdiff_t ck_float_slice(ptrdiff_t outputs, enum ck_isa isa) {
#if defined(__x86_64__) && defined(__clang__)
    if (isa >= CK_ISA_AVX512) return 64;
    if (isa >= CK_ISA_AVX2) return outputs % 24 == 0 ? 24 : 16;
#else
    (void)outputs, (void)isa;
#endif
    return 0;
}

ptrdiff_t ck_float_packed_size(ptrdiff_t inputs, ptrdiff_t outputs, ptrdiff_t slice) {
    return 4 * inputs * rounded_up(outputs, slice);
}

// Four by four elements at a time.
void pack_slices(const float *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t inputs,
                 ptrdiff_t slice, float *to) {
    for (ptrdiff_t row = 0; row < rounded_up(rows, slice); row += 4) {
        const float *source = from + row * stride;
        float *target = to + row / slice * slice * inputs + row % slice;
        ptrdiff_t i = 0;
        for (; row + 4 <= rows && i + 4 <= inputs; i += 4) {
            f32x4 v[4];
            for (int r = 0; r < 4; r++) memcpy(v + r, source + r * stride + i, sizeof *v);
            transpose(v);
            for (int k = 0; k < 4; k++) memcpy(target + (i + k) * slice, v + k, sizeof *v);
        }
        for (; i < inputs; i++)
            for (ptrdiff_t r = 0; r < 4; r++)
                target[i * slice + r] = row + r < rows ? source[r * stride + i] : 0;
    }
}

void ck_float_pack(const float *weight, const ck_float_matrix *to) {
    pack_slices(weight, to->inputs, to->outputs, to->inputs, to->slice, to->weights);
}

#if defined(__x86_64__) && defined(__clang__)
#define VERSION avx512
#define TARGET CK_TARGET_AVX512 CK_WIDE
#define LANES 16
#define ROWS 6
#define OUTPUTS 64
#include "LinearFloat.inc"
#define VERSION avx2_24
#define TARGET CK_TARGET_AVX2
#define LANES 8
#define ROWS 4
#define OUTPUTS 24
#include "LinearFloat.inc"
#define VERSION avx2_16
#define TARGET CK_TARGET_AVX2
#define LANES 8
#define ROWS 6
#define OUTPUTS 16
#include "LinearFloat.inc"
#endif

void ck_float_linear(const float *x, ptrdiff_t rows, const ck_float_matrix *weight,
                     const float *bias, float *out, enum ck_epilogue epilogue) {
#if defined(__x86_64__) && defined(__clang__)
    switch (weight->slice) {
    case 64: return linear_avx512(x, rows, weight, bias, out, epilogue);
    case 24: return linear_avx2_24(x, rows, weight, bias, out, epilogue);
    case 16: return linear_avx2_16(x, rows, weight, bias, out, epilogue);
    }
#else
    (void)x, (void)rows, (void)weight, (void)bias, (void)out, (void)epilogue;
#endif
    abort();
}
