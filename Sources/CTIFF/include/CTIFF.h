#pragma once

#include <stddef.h>
#include <stdint.h>

// A whole TIFF held in memory, its first picture decoded with libtiff. Decoders share nothing.

typedef struct ctiff_decoder ctiff_decoder;

// The tags that decide what the samples are, with TIFF 6.0's defaults.
typedef struct {
    uint32_t width, height;
    uint16_t bits;           // of a sample
    uint16_t samples;        // of a pixel
    uint16_t sample_format;
    uint16_t photometric;
    uint16_t planar;
    uint16_t compression;
    uint16_t fill_order;
    int extra_count;
    uint16_t extra[4];       // kinds of the first extra samples
    int is_big_endian;
    int is_tiled;
    uint32_t tile_width, tile_height;
    size_t line_bytes;       // of a line as stored, or of a tile's line
    int has_palette;
    uint8_t palette[768];    // red, green, blue: the high bytes
} ctiff_header;

// The bytes must stay alive and unchanged until ctiff_close. max_memory bounds each of libtiff's allocations.
// NULL when there is no memory.
ctiff_decoder *ctiff_open(const uint8_t *bytes, size_t count, size_t max_memory);
void ctiff_close(ctiff_decoder *decoder);
// Reads the first directory. Returns 0 when the file has none; then ctiff_message says why.
int ctiff_read_header(ctiff_decoder *decoder, ctiff_header *header);

// Samples in the machine's byte order, bits from the high end on. `plane` is 0 unless the samples are
// in separate planes. All return 0 when they fail, and for a CCITT
// group 4 line that ends early. Lines of a plane must be read in order. line: [line_bytes]
int ctiff_read_line(ctiff_decoder *decoder, uint32_t row, uint16_t plane, uint8_t *line);
// The tile with this pixel. tile: [tile_height, line_bytes]
int ctiff_read_tile(ctiff_decoder *decoder, uint32_t x, uint32_t y, uint16_t plane, uint8_t *tile);
// The whole picture as libtiff's RGBA interface converts it. pixels: [height, width, 4], aligned to 4
int ctiff_read_rgba(ctiff_decoder *decoder, uint8_t *pixels);

// libtiff's last sentence; NUL-terminated, lives as long as the decoder.
const char *ctiff_message(const ctiff_decoder *decoder);
