// One copy of a function for each level of x86-64; the instruction set in use picks one (Isa.c).
#pragma once

#include "CKernels.h"

#define CK_INLINE static inline __attribute__((always_inline))

// A name in an .inc file, which is included once for each VERSION.
#define CK_JOIN2(part, version) part##_##version
#define CK_JOIN(part, version) CK_JOIN2(part, version)
#define CK_NAME(part) CK_JOIN(part, VERSION)

#if defined(__x86_64__) && defined(__clang__)
#define CK_TARGET_AVX2 __attribute__((target("arch=x86-64-v3")))
#define CK_TARGET_AVX512 __attribute__((target("arch=x86-64-v4,tune=znver4")))
// Otherwise compilers split vectors of 512 bits.
#define CK_WIDE __attribute__((min_vector_width(512)))

// Defines `name` by `name_body`, a CK_INLINE function. LINKAGE: static, or nothing.
#define CK_VERSIONS(LINKAGE, type, name, parameters, arguments)                          \
    CK_TARGET_AVX512 CK_WIDE static type name##_avx512 parameters {                      \
        return name##_body arguments;                                                    \
    }                                                                                    \
    CK_TARGET_AVX2 static type name##_avx2 parameters { return name##_body arguments; }  \
    LINKAGE type name parameters {                                                       \
        enum ck_isa isa = ck_isa_in_use();                                               \
        if (isa >= CK_ISA_AVX512) return name##_avx512 arguments;                        \
        if (isa >= CK_ISA_AVX2) return name##_avx2 arguments;                            \
        return name##_body arguments;                                                    \
    }
#else
#define CK_VERSIONS(LINKAGE, type, name, parameters, arguments) \
    LINKAGE type name parameters { return name##_body arguments; }
#endif
