#include <string.h>

#include "Versions.h"

// Integer sums are exact, so their order is free; overflow wraps as unsigned numbers do.
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef uint32_t lanes16 __attribute__((vector_size(64)));
typedef uint32_t lanes8 __attribute__((vector_size(32)));
typedef uint32_t lanes4 __attribute__((vector_size(16)));
typedef int32_t signed4 __attribute__((vector_size(16)));
typedef uint8_t bytes4 __attribute__((vector_size(4)));

static const uint32_t half = 1u << (CPX_FRACTION_BITS - 1);

static inline uint8_t sample(uint32_t sum) {
    int32_t value = (int32_t)sum >> CPX_FRACTION_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

// MARK: Resampling

// Which of the 16 samples of a step belongs to a tap's channel. Three channels are spread to four
// lanes, the fourth an unused copy.
void cpx_place_weight(int32_t *block, int channels, ptrdiff_t tap, int32_t weight) {
    ptrdiff_t taps = cpx_taps_in_step(channels);
    int lanes = (int)(16 / taps);
    int32_t *step = block + tap / taps * 16;
    for (int lane = 0; lane < lanes; lane++) step[tap % taps * lanes + lane] = weight;
}

CK_INLINE void resample_line(
    const uint8_t *line, const int channels, ptrdiff_t outputs, const int32_t *starts,
    ptrdiff_t steps, const int32_t *weights, uint8_t *out) {
    const ptrdiff_t advance = cpx_taps_in_step(channels) * channels;
    for (ptrdiff_t x = 0; x < outputs; x++) {
        const uint8_t *samples = line + starts[x];
        lanes16 sums = {0};
        for (ptrdiff_t step = 0; step < steps; step++) {
            bytes16 bytes;
            memcpy(&bytes, samples, sizeof bytes);
            if (channels == 3)
                bytes = __builtin_shufflevector(
                    bytes, bytes, 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11);
            lanes16 factors;
            memcpy(&factors, weights, sizeof factors);
            sums += __builtin_convertvector(bytes, lanes16) * factors;
            samples += advance;
            weights += 16;
        }
        lanes8 eight = __builtin_shufflevector(sums, sums, 0, 1, 2, 3, 4, 5, 6, 7)
            + __builtin_shufflevector(sums, sums, 8, 9, 10, 11, 12, 13, 14, 15);
        lanes4 four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3)
            + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
        if (channels <= 2) four += __builtin_shufflevector(four, four, 2, 3, 0, 1);
        if (channels == 1) four += __builtin_shufflevector(four, four, 1, 0, 3, 2);
        signed4 values = (signed4)(four + half) >> CPX_FRACTION_BITS;
        values &= values > 0;
        signed4 over = values > 255;
        values = (values & ~over) | (over & 255);
        bytes4 samples4 = __builtin_convertvector(values, bytes4);
        // Four at once; those too many are written over by the next output.
        if (x * channels + 4 <= outputs * channels)
            memcpy(out + x * channels, &samples4, 4);
        else
            memcpy(out + x * channels, &samples4, (size_t)channels);
    }
}

CK_INLINE void cpx_resample_line_body(const uint8_t *line, int channels, ptrdiff_t outputs,
                                      const int32_t *starts, ptrdiff_t steps,
                                      const int32_t *weights, uint8_t *out) {
    switch (channels) {
    case 1: resample_line(line, 1, outputs, starts, steps, weights, out); break;
    case 2: resample_line(line, 2, outputs, starts, steps, weights, out); break;
    case 3: resample_line(line, 3, outputs, starts, steps, weights, out); break;
    default: resample_line(line, 4, outputs, starts, steps, weights, out); break;
    }
}
CK_VERSIONS(, void, cpx_resample_line,
            (const uint8_t *line, int channels, ptrdiff_t outputs, const int32_t *starts,
             ptrdiff_t steps, const int32_t *weights, uint8_t *out),
            (line, channels, outputs, starts, steps, weights, out))

CK_INLINE void cpx_add_line_body(const uint8_t *restrict line, ptrdiff_t count, int32_t weight,
                                 int first, int32_t *restrict sums) {
    uint32_t factor = (uint32_t)weight;
    if (first) {
        for (ptrdiff_t i = 0; i < count; i++) sums[i] = (int32_t)(half + line[i] * factor);
    } else {
        for (ptrdiff_t i = 0; i < count; i++)
            sums[i] = (int32_t)((uint32_t)sums[i] + line[i] * factor);
    }
}
CK_VERSIONS(, void, cpx_add_line,
            (const uint8_t *restrict line, ptrdiff_t count, int32_t weight, int first,
             int32_t *restrict sums),
            (line, count, weight, first, sums))

CK_INLINE void cpx_sum_line_body(const uint8_t *restrict line, ptrdiff_t count, int first,
                                 uint16_t *restrict sums) {
    if (first) {
        for (ptrdiff_t i = 0; i < count; i++) sums[i] = line[i];
    } else {
        for (ptrdiff_t i = 0; i < count; i++) sums[i] = (uint16_t)(sums[i] + line[i]);
    }
}
CK_VERSIONS(, void, cpx_sum_line,
            (const uint8_t *restrict line, ptrdiff_t count, int first, uint16_t *restrict sums),
            (line, count, first, sums))

CK_INLINE void cpx_average_lines_body(const uint16_t *restrict sums, ptrdiff_t count, int lines,
                                      uint8_t *restrict out) {
    const uint32_t factor = 65536u / (uint32_t)lines;
    for (ptrdiff_t i = 0; i < count; i++) out[i] = (uint8_t)((sums[i] * factor + 32768u) >> 16);
}
CK_VERSIONS(, void, cpx_average_lines,
            (const uint16_t *restrict sums, ptrdiff_t count, int lines, uint8_t *restrict out),
            (sums, count, lines, out))

CK_INLINE void cpx_finish_line_body(const int32_t *restrict sums, ptrdiff_t count,
                                    uint8_t *restrict out) {
    for (ptrdiff_t i = 0; i < count; i++) out[i] = sample((uint32_t)sums[i]);
}
CK_VERSIONS(, void, cpx_finish_line,
            (const int32_t *restrict sums, ptrdiff_t count, uint8_t *restrict out),
            (sums, count, out))

// MARK: Modes

// a * b / 255, rounded (MULDIV255 in Pillow's ImagingUtils.h).
static inline uint32_t product(uint32_t a, uint32_t b) {
    uint32_t sum = a * b + 128;
    return ((sum >> 8) + sum) >> 8;
}

CK_INLINE void cpx_premultiply_body(const uint8_t *restrict pixels, int channels, ptrdiff_t count,
                                    uint8_t *restrict out) {
    if (channels == 4) {
        for (ptrdiff_t i = 0; i < count; i++) {
            uint32_t alpha = pixels[i * 4 + 3];
            for (int c = 0; c < 3; c++)
                out[i * 4 + c] = (uint8_t)product(pixels[i * 4 + c], alpha);
            out[i * 4 + 3] = (uint8_t)alpha;
        }
    } else {
        for (ptrdiff_t i = 0; i < count; i++) {
            out[i * 2] = (uint8_t)product(pixels[i * 2], pixels[i * 2 + 1]);
            out[i * 2 + 1] = pixels[i * 2 + 1];
        }
    }
}
CK_VERSIONS(, void, cpx_premultiply,
            (const uint8_t *restrict pixels, int channels, ptrdiff_t count, uint8_t *restrict out),
            (pixels, channels, count, out))

void cpx_unpremultiply(uint8_t *pixels, int channels, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++, pixels += channels) {
        uint32_t alpha = pixels[channels - 1];
        if (alpha == 0 || alpha == 255) continue;
        for (int c = 0; c < channels - 1; c++) {
            uint32_t value = 255u * pixels[c] / alpha;
            pixels[c] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}

CK_INLINE void cpx_cmyk_to_rgb_body(const uint8_t *restrict pixels, ptrdiff_t count,
                                    uint8_t *restrict rgb) {
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t light = 255u - pixels[i * 4 + 3];
        for (int c = 0; c < 3; c++)
            rgb[i * 3 + c] = (uint8_t)(light - product(pixels[i * 4 + c], light));
    }
}
CK_VERSIONS(, void, cpx_cmyk_to_rgb,
            (const uint8_t *restrict pixels, ptrdiff_t count, uint8_t *restrict rgb),
            (pixels, count, rgb))

CK_INLINE void cpx_normalize_body(const uint8_t *restrict rgb, ptrdiff_t count, float mean,
                                  float deviation, float *restrict plane) {
    for (ptrdiff_t i = 0; i < count; i++)
        plane[i] = ((float)rgb[i * 3] / 255.0f - mean) / deviation;
}
CK_VERSIONS(, void, cpx_normalize,
            (const uint8_t *restrict rgb, ptrdiff_t count, float mean, float deviation,
             float *restrict plane),
            (rgb, count, mean, deviation, plane))

static inline void scatter(const uint8_t *pixels, ptrdiff_t count, int bytes, uint8_t *target,
                           ptrdiff_t step) {
    for (ptrdiff_t i = 0; i < count; i++)
        memcpy(target + i * step * bytes, pixels + i * bytes, (size_t)bytes);
}

void cpx_scatter(const uint8_t *pixels, ptrdiff_t count, int bytes, uint8_t *target,
                 ptrdiff_t step) {
    // A constant size makes each copy one or two instructions.
    switch (bytes) {
    case 1: scatter(pixels, count, 1, target, step); break;
    case 2: scatter(pixels, count, 2, target, step); break;
    case 3: scatter(pixels, count, 3, target, step); break;
    default: scatter(pixels, count, 4, target, step); break;
    }
}
