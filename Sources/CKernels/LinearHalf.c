#include <string.h>

#include "Half.h"
#include "Versions.h"

#if defined(__x86_64__) && defined(__clang__)
typedef _Float16 half;
#define HAS_HALF 1
#elif defined(__aarch64__)
typedef __fp16 half;
#define HAS_HALF 1
#else
#define HAS_HALF 0
#endif

// A tile's dot products are summed in the lanes of vectors along the inputs. The tile that comes first
// widens the weights on the way from memory, into the first-level cache, where those of the other rows
// find them. It fetches the next weights too: processors do not look ahead beyond a page of the
// mapped file.
enum { WIDENED = 4096 };  // elements

typedef float f32x4 __attribute__((vector_size(16)));

// The sum over each vector's lanes.
CK_INLINE f32x4 transposed_sum(const f32x4 v[4]) {
#define PAIRS(a, b) \
    (__builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7))
    f32x4 a = PAIRS(v[0], v[1]), b = PAIRS(v[2], v[3]);
    return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
#undef PAIRS
}


#if defined(__x86_64__) && defined(__clang__)
#define VERSION avx512
#define TARGET CK_TARGET_AVX512 CK_WIDE
#define LANES 16
#define OUTPUTS 8
#define ROWS 3
#include "LinearHalf.inc"
// Of a short text each weight is used once.
#define VERSION avx512_short
#define TARGET CK_TARGET_AVX512
#define LANES 16
#define OUTPUTS 4
#define ROWS 4
#include "LinearHalf.inc"
#define VERSION avx2
#define TARGET CK_TARGET_AVX2
#define LANES 8
#define OUTPUTS 4
#define ROWS 3
#include "LinearHalf.inc"
// Without F16C by arithmetic.
#undef HAS_HALF
#define HAS_HALF 0
#endif

#define VERSION plain
#define TARGET
#define LANES 4
#if defined(__aarch64__)
#define OUTPUTS 8
#else
#define OUTPUTS 4
#endif
#define ROWS 3
#include "LinearHalf.inc"

void ck_linear_half(const float *x, ptrdiff_t rows, const void *weight, ptrdiff_t inputs,
                    ptrdiff_t outputs, float *out, ptrdiff_t stride, bool accumulate,
                    enum ck_isa isa) {
#if defined(__x86_64__) && defined(__clang__)
    if (isa >= CK_ISA_AVX512)
        return (rows <= 8 ? linear_avx512_short : linear_avx512)(
            x, rows, weight, inputs, outputs, out, stride, accumulate);
    if (isa >= CK_ISA_AVX2) return linear_avx2(x, rows, weight, inputs, outputs, out, stride, accumulate);
#endif
    (void)isa;
    linear_plain(x, rows, weight, inputs, outputs, out, stride, accumulate);
}
