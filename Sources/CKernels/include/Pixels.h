#pragma once

#include <stddef.h>
#include <stdint.h>

// Passes over lines of pixels: resampling in Pillow's fixed point, and conversions of modes. Pure
// functions of their arguments.

// Fraction bits of a weight (PRECISION_BITS in Pillow's Resample.c).
enum { CPX_FRACTION_BITS = 32 - 8 - 2 };

// cpx_resample_line reads 16 samples at a time, so it may read beyond a line's end.
// What they hold does not matter.
enum { CPX_LINE_PADDING = 64 };

// Source samples of one channel that cpx_resample_line takes in a step.
static inline ptrdiff_t cpx_taps_in_step(int channels) {
    return channels == 1 ? 16 : channels == 2 ? 8 : 4;
}

// One line resampled along itself.
// line: pixels of `channels` (1...4) samples, followed by CPX_LINE_PADDING readable bytes
// starts: [outputs], index in `line` of the first sample of each output's first step
// weights: [outputs, steps, 16], the weight of each of the 16 samples that a step reads, as
//     cpx_place_weight puts them; steps * cpx_taps_in_step(channels) pixels from a start may lie
//     beyond the line's end only as far as the padding
// out: [outputs, channels]
void cpx_resample_line(const uint8_t *line, int channels, ptrdiff_t outputs,
                       const int32_t *starts, ptrdiff_t steps, const int32_t *weights,
                       uint8_t *out);

// Puts the weight of one output's tap into that output's [steps, 16] block, which starts as zeros.
void cpx_place_weight(int32_t *block, int channels, ptrdiff_t tap, int32_t weight);

// sums[i] = (first ? half a unit : sums[i]) + line[i] * weight. line, sums: [count]
void cpx_add_line(const uint8_t *line, ptrdiff_t count, int32_t weight, int first,
                  int32_t *sums);

// Adds lines[0] + … + lines[n - 1], at most 16 of them: sums[i] = (first ? 0 : sums[i]) + line[i].
// line, sums: [count]
void cpx_sum_line(const uint8_t *line, ptrdiff_t count, int first, uint16_t *sums);

// Averages of `lines` lines, rounded. sums, out: [count]
void cpx_average_lines(const uint16_t *sums, ptrdiff_t count, int lines, uint8_t *out);

// Sums of weighted samples as samples. sums, out: [count]
void cpx_finish_line(const int32_t *sums, ptrdiff_t count, uint8_t *out);

// Colour times alpha, rounded (rgbA2rgba and lA2la in Pillow's Convert.c). The last of `channels`
// (2 or 4) is alpha. pixels, out: [count, channels]
void cpx_premultiply(const uint8_t *pixels, int channels, ptrdiff_t count, uint8_t *out);

// Colour divided by alpha, cut (rgba2rgbA and la2lA); colour is kept where alpha is 0 or 255.
// pixels: [count, channels], in place
void cpx_unpremultiply(uint8_t *pixels, int channels, ptrdiff_t count);

// C, M, Y, K without ink 0 as R, G, B (cmyk2rgb). pixels: [count, 4]  rgb: [count, 3]
void cpx_cmyk_to_rgb(const uint8_t *pixels, ptrdiff_t count, uint8_t *rgb);

// One channel of three of interleaved samples as (sample / 255 - mean) / deviation.
// rgb: [count, 3], at the channel's first sample  plane: [count]
void cpx_normalize(const uint8_t *rgb, ptrdiff_t count, float mean, float deviation,
                   float *plane);

// Copies pixels to places `step` pixels apart: one line of a picture that is turned.
// pixels: [count, bytes], 1 to 4 bytes  target: place of the first pixel
void cpx_scatter(const uint8_t *pixels, ptrdiff_t count, int bytes, uint8_t *target,
                 ptrdiff_t step);
