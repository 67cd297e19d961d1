#pragma once

#include <stddef.h>
#include <stdint.h>

// Writes a picture as a progressive JPEG (4:2:0, optimised tables) into memory that malloc gave, which
// the caller frees.
//
//   pixels: [height, width, components], components 1 (grey) or 3 (R, G, B)
//   width, height: 1 to 65,500, libjpeg's limit
//   quality: 1 to 100, as libjpeg has it
//   profile: an ICC profile that says what the samples mean, or none with a count of 0
//
// Returns 1, or 0 when libjpeg gave up or there was no memory; then nothing is to be freed.
int cjpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int components, int quality,
                 const uint8_t *profile, size_t profile_count, uint8_t **bytes, size_t *count);
