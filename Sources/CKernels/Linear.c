#include "CKernels.h"

#include <string.h>

// Vectors are passed to functions that are always inlined, so no calling convention matters.
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpsabi"
#endif

typedef float f32x4 __attribute__((vector_size(16)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef float f32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint16_t u16x16 __attribute__((vector_size(32)));

// Without an instruction for it, sixteen halves are widened by the same arithmetic as
// half_to_float in Conversions.c.
static inline __attribute__((always_inline)) f32x16 widen_by_arithmetic(u16x16 half) {
    u32x16 bits = __builtin_convertvector(half, u32x16);
    u32x16 magnitude = (bits & 0x7FFF) << 13;
    f32x16 value = (f32x16)magnitude * 0x1p112f;
    u32x16 special = (u32x16)(magnitude >= 0x0F800000u) & 0x7F800000u;
    return (f32x16)((u32x16)value | special | ((bits & 0x8000) << 16));
}

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define TILE_NAME(part) JOIN(NAME, part)

#if defined(__x86_64__) && defined(__clang__)
typedef _Float16 f16x16 __attribute__((vector_size(32)));
#define WIDEN(v) __builtin_convertvector(v, f32x16)
#define NAME linear_half_v4
#define TARGET __attribute__((target("arch=x86-64-v4")))
#include "LinearHalf.inc"
#undef NAME
#undef TARGET
#define NAME linear_half_v3
#define TARGET __attribute__((target("arch=x86-64-v3")))
#include "LinearHalf.inc"
#undef NAME
#undef TARGET
#undef WIDEN
#define f16x16 u16x16
#else
typedef u16x16 f16x16;
#endif

#define WIDEN(v) widen_by_arithmetic(v)
#define NAME linear_half_any
#define TARGET
#include "LinearHalf.inc"

void ck_linear_half(const float *x, ptrdiff_t rows, const void *weight, ptrdiff_t inputs,
                    ptrdiff_t outputs, float *out, bool accumulate, enum ck_isa isa) {
#if defined(__x86_64__) && defined(__clang__)
    if (isa == CK_ISA_BEST) isa = ck_best_isa();
    if (isa == CK_ISA_V4) return linear_half_v4(x, rows, weight, inputs, outputs, out, accumulate);
    if (isa == CK_ISA_V3) return linear_half_v3(x, rows, weight, inputs, outputs, out, accumulate);
#endif
    linear_half_any(x, rows, weight, inputs, outputs, out, accumulate);
}

enum ck_isa ck_best_isa(void) {
#if defined(__x86_64__) && defined(__clang__)
    static _Atomic enum ck_isa best = CK_ISA_BEST;
    if (best == CK_ISA_BEST) {
        __builtin_cpu_init();
        best = __builtin_cpu_supports("x86-64-v4")   ? CK_ISA_V4
               : __builtin_cpu_supports("x86-64-v3") ? CK_ISA_V3
                                                     : CK_ISA_ANY;
    }
    return best;
#else
    return CK_ISA_ANY;
#endif
}
