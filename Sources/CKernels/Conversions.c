#include "CKernels.h"
#include "Half.h"
#include "Versions.h"

#include <string.h>

float ck_half_to_float(uint16_t half) { return half_to_float(half); }

CK_INLINE void ck_float_from_half_body(const void *source, float *out, ptrdiff_t count) {
    const char *bytes = source;
    for (ptrdiff_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = half_to_float(half);
    }
}
CK_VERSIONS(, void, ck_float_from_half, (const void *source, float *out, ptrdiff_t count), (source, out, count))

CK_INLINE void ck_float_from_bfloat_body(const void *source, float *out, ptrdiff_t count) {
    const char *bytes = source;
    for (ptrdiff_t i = 0; i < count; i++) {
        uint16_t upper;
        memcpy(&upper, bytes + 2 * i, sizeof upper);
        uint32_t bits = (uint32_t)upper << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}
CK_VERSIONS(, void, ck_float_from_bfloat, (const void *source, float *out, ptrdiff_t count), (source, out, count))

CK_INLINE bool ck_all_finite_body(const float *x, ptrdiff_t count) {
    uint32_t broken = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        broken |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return !broken;
}
CK_VERSIONS(, bool, ck_all_finite, (const float *x, ptrdiff_t count), (x, count))
