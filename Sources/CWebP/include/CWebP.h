#pragma once

#include <stddef.h>
#include <stdint.h>

// A whole WebP held in memory, its first frame decoded with libwebp. Calls share nothing.

typedef struct {
    uint32_t width, height;              // of the canvas
    int has_alpha;
    int is_lossless;                     // the first frame
    uint32_t left, top;                  // of the first frame on the canvas
    uint32_t frame_width, frame_height;
} cwebp_header;

typedef enum {
    CWEBP_OK = 0,
    CWEBP_TRUNCATED,  // the bytes end before the file does
    CWEBP_CORRUPT,
    CWEBP_NO_MEMORY,
} cwebp_status;

cwebp_status cwebp_read_header(const uint8_t *bytes, size_t count, cwebp_header *header);

// canvas: [height, width, channels] zeros, of which the frame's rectangle is written: R, G, B, and A
// (not premultiplied) where `channels` is 4. channels: 3 or 4
cwebp_status cwebp_read_pixels(const uint8_t *bytes, size_t count, const cwebp_header *header,
                               int channels, uint8_t *canvas);

// Writes a lossy WebP file with alpha. rgba: [height, width, 4]  quality: 0 to 100
// Returns memory for cwebp_free and writes its size, or NULL when there is no memory or a side has more than
// 16,383 pixels.
uint8_t *cwebp_encode(const uint8_t *rgba, int width, int height, float quality, size_t *size);
void cwebp_free(uint8_t *memory);
