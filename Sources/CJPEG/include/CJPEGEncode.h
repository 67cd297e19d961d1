#pragma once

#include <stddef.h>
#include <stdint.h>

// Encodes a picture as a JPEG (4:2:0, optimised tables; progressive if it is large). The caller frees `bytes`.
//
//   pixels: [height, width, components], components 1 (grey) or 3 (R, G, B)
//   width, height: 1 to 65,500, libjpeg's limit
//   quality: 1 to 100, libjpeg's scale
//   profile: an ICC profile; a count of 0 means none
//   max_count: bytes that the file may have
//
// Returns 1, or 0 when the file would be larger than max_count, libjpeg failed or memory ran out;
// then there is nothing to free.
int cjpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int components, int quality,
                 const uint8_t *profile, size_t profile_count, size_t max_count, uint8_t **bytes,
                 size_t *count);
