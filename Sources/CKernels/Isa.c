#include "CKernels.h"

#if defined(__x86_64__)
#include <cpuid.h>

static bool has_avx_vnni(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & 1u << 4);
}

bool ck_isa_has(enum ck_isa isa) {
    __builtin_cpu_init();
    switch (isa) {
    case CK_ISA_PLAIN: return true;
    case CK_ISA_AVX2: return __builtin_cpu_supports("x86-64-v3");
    case CK_ISA_AVX2_VNNI: return __builtin_cpu_supports("x86-64-v3") && has_avx_vnni();
    case CK_ISA_AVX512: return __builtin_cpu_supports("x86-64-v4");
    case CK_ISA_AVX512_VNNI:
        return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512vnni");
    default: return false;
    }
}

#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

bool ck_isa_has(enum ck_isa isa) {
    switch (isa) {
    case CK_ISA_PLAIN: return true;
    case CK_ISA_NEON_DOT: return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
    case CK_ISA_NEON_I8MM:
        return getauxval(AT_HWCAP) & HWCAP_ASIMDDP && getauxval(AT_HWCAP2) & HWCAP2_I8MM;
    default: return false;
    }
}

#else

bool ck_isa_has(enum ck_isa isa) { return isa == CK_ISA_PLAIN; }

#endif

const char *ck_isa_name(enum ck_isa isa) {
    static const char *const names[CK_ISA_COUNT] = {
#if defined(__x86_64__)
        "sse",
#elif defined(__aarch64__)
        "neon",
#else
        "plain",
#endif
        "avx2", "avx2-vnni", "avx512", "avx512-vnni", "neon-dot", "neon-i8mm"};
    return isa < CK_ISA_COUNT ? names[isa] : "unknown";
}

// -1 until it is first asked for.
static _Atomic int in_use = -1;

void ck_isa_limit(enum ck_isa isa) {
    while (isa > CK_ISA_PLAIN && !ck_isa_has(isa)) isa--;
    in_use = (int)isa;
}

enum ck_isa ck_isa_in_use(void) {
    int isa = in_use;
    if (isa < 0) {
        ck_isa_limit(CK_ISA_COUNT - 1);
        isa = in_use;
    }
    return (enum ck_isa)isa;
}
