// The instruction sets that kernels are written for, and which of them is in use.
#pragma once

#include <stdbool.h>

// Of one architecture, each includes those before it.
enum ck_isa {
    CK_ISA_PLAIN = 0,  // what every processor of the architecture has: SSE2, or NEON
    CK_ISA_AVX2,       // x86-64-v3: with FMA and F16C
    CK_ISA_AVX2_VNNI,  // and AVX-VNNI, products of 8-bit integers in 256 bits
    CK_ISA_AVX512,     // x86-64-v4
    CK_ISA_AVX512_VNNI,
    CK_ISA_NEON_DOT,   // sdot
    CK_ISA_NEON_I8MM,  // usmmla
    CK_ISA_COUNT,
};

// Its name: sse, avx2, avx2-vnni, avx512, avx512-vnni; neon, neon-dot, neon-i8mm.
const char *ck_isa_name(enum ck_isa isa);

// Whether this processor has it. AVX-512 with VNNI does not imply AVX-VNNI.
bool ck_isa_has(enum ck_isa isa);

// The best that this processor has, up to the limit.
enum ck_isa ck_isa_in_use(void);

// Keeps the whole process to `isa` and those before it. Matrices that were packed before keep the set they
// were packed for, so call it first.
void ck_isa_limit(enum ck_isa isa);
