#include <stdlib.h>
#include <string.h>

#include "Activation.h"
#include "Versions.h"

ptrdiff_t ck_float_slice(ptrdiff_t outputs, enum ck_isa isa) {
#if defined(__x86_64__) && defined(__clang__)
    if (isa >= CK_ISA_AVX512) return outputs % 64 == 0 ? 64 : 0;
    if (isa >= CK_ISA_AVX2) return outputs % 24 == 0 ? 24 : outputs % 16 == 0 ? 16 : 0;
#else
    (void)outputs, (void)isa;
#endif
    return 0;
}

void ck_float_pack(const float *weight, const ck_float_matrix *to) {
    ptrdiff_t inputs = to->inputs, slice = to->slice;
    for (ptrdiff_t o = 0; o < to->outputs; o += slice)
        // A block of inputs at a time: of both sides whole cache lines.
        for (ptrdiff_t start = 0; start < inputs; start += 16) {
            ptrdiff_t end = inputs - start < 16 ? inputs : start + 16;
            for (ptrdiff_t j = 0; j < slice; j++)
                for (ptrdiff_t i = start; i < end; i++)
                    to->weights[o * inputs + i * slice + j] = weight[(o + j) * inputs + i];
        }
}

#if defined(__x86_64__) && defined(__clang__)
#define FLOAT_NAME(part) FLOAT_JOIN(part, VERSION)
#define FLOAT_JOIN(part, version) FLOAT_JOIN2(part, version)
#define FLOAT_JOIN2(part, version) part##_##version

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
