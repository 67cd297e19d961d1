#pragma once

#include <stdint.h>
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
