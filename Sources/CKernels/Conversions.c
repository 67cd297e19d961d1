#include "CKernels.h"

#include <string.h>

// IEEE 754 binary16 to binary32 with integers and one multiplication, so that loops over it
// vectorise on any machine: the exponent is moved to its new place, and multiplying by 2^112 sets
// its bias right, subnormal numbers included. Infinity and NaN keep a full exponent.
static inline float half_to_float(uint16_t half) {
    uint32_t magnitude = (uint32_t)(half & 0x7FFF) << 13;
    float value;
    memcpy(&value, &magnitude, sizeof value);
    value *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= magnitude >= 0x0F800000u ? 0x7F800000u : 0;
    bits |= (uint32_t)(half & 0x8000) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float ck_half_to_float(uint16_t half) { return half_to_float(half); }

CK_MULTIVERSION
void ck_float_from_half(const void *source, float *out, ptrdiff_t count) {
    const char *bytes = source;
    for (ptrdiff_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = half_to_float(half);
    }
}

CK_MULTIVERSION
void ck_float_from_bfloat(const void *source, float *out, ptrdiff_t count) {
    const char *bytes = source;
    for (ptrdiff_t i = 0; i < count; i++) {
        uint16_t upper;
        memcpy(&upper, bytes + 2 * i, sizeof upper);
        uint32_t bits = (uint32_t)upper << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

CK_MULTIVERSION
bool ck_all_finite(const float *x, ptrdiff_t count) {
    uint32_t broken = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        broken |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return !broken;
}
