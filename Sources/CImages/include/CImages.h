#pragma once

#include <stddef.h>
#include <stdint.h>

// Pictures held in memory as whole files, decoded and encoded with libjpeg(-turbo), libpng, libtiff and libwebp.
//
// A decoder belongs to one thread at a time; different decoders share nothing. The bytes must stay alive and
// unchanged as long as the decoder. libjpeg and libpng report errors by calling a function that must not
// return. Here that function is a longjmp to a setjmp in the function of this target that is running, so no
// jump ever crosses a caller's frame.

typedef enum {
    CIMAGES_OK = 0,
    CIMAGES_TRUNCATED,  // the bytes end before the picture does
    CIMAGES_CORRUPT,    // the library gave up; the decoder's message says why
    CIMAGES_NO_MEMORY,
    // Of JPEGs alone:
    CIMAGES_TOO_MANY_SCANS,   // more scans than allowed
    CIMAGES_TOO_MUCH_MEMORY,  // more than allowed
    CIMAGES_DAMAGED,          // something is wrong, and a decoder that does not save decides what
} cimages_status;

// MARK: JPEG

typedef struct cjpeg_decoder cjpeg_decoder;

typedef struct {
    uint32_t width, height;  // pixels, both at least 1
    int components;          // components stored in the file
} cjpeg_header;

// NULL when there is no memory.
cjpeg_decoder *cjpeg_create(const uint8_t *bytes, size_t count);
void cjpeg_destroy(cjpeg_decoder *decoder);

// First step: everything before the picture's first scan.
cimages_status cjpeg_read_header(cjpeg_decoder *decoder, cjpeg_header *header);

// What of the picture is wanted, and how.
typedef struct {
    uint32_t top, bottom;  // lines [top, bottom)
    uint32_t left, right;  // pixels [left, right) of each
    // A picture that comes in several scans (progressive, or a component at a time) is given up at
    // scan max_scans + 1, and when its coefficients need more than max_memory bytes.
    int max_scans;
    size_t max_memory;
    // Saves what the wanted part does not need. The pixels are the same; of damage nothing is made but
    // CIMAGES_DAMAGED.
    int saving;
    // 2, 4 or 8: decodes the picture at that part of its size, rounded up, of which lines and pixels above
    // are then counted; nothing is saved. 1 for all of it.
    uint32_t scale;
} cjpeg_request;

// Second step. components is the header's and must be 1 (grey), 3 (R, G, B) or 4 (C, M, Y, K).
cimages_status cjpeg_start(cjpeg_decoder *decoder, const cjpeg_request *request);

// Third step, once for each wanted line: samples interleaved, from pixel `left` on, four components
// inverted (no ink 0; files hold it inverted). The line lives until the next call; 64 bytes after
// it may be read.
cimages_status cjpeg_read_line(cjpeg_decoder *decoder, const uint8_t **line);

// Last step: reads to the picture's end.
cimages_status cjpeg_finish(cjpeg_decoder *decoder);

// libjpeg's sentence for the last CIMAGES_CORRUPT; NUL-terminated, lives as long as the decoder.
const char *cjpeg_message(const cjpeg_decoder *decoder);

// Encodes a picture (4:2:0, optimised tables; progressive if it is large). The caller frees `bytes`.
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

// MARK: PNG

typedef struct cpng_decoder cpng_decoder;

typedef struct {
    uint32_t width, height;  // pixels, both at least 1
    int bit_depth;           // 1, 2, 4, 8, 16
    int channels;            // as stored: 1 grey or palette, 2 grey and alpha, 3 RGB, 4 RGBA
    int has_palette;
    int is_interlaced;
    uint8_t palette[768];    // red, green, blue; entries that the file lacks are black
} cpng_header;

// NULL when there is no memory.
cpng_decoder *cpng_create(const uint8_t *bytes, size_t count);
void cpng_destroy(cpng_decoder *decoder);

// First step: everything before the picture's data.
cimages_status cpng_read_header(cpng_decoder *decoder, cpng_header *header);

// Second step. Samples come as bytes: 1 bit as 0 or 255 (palettes: 0 or 1), 2 and 4 bits of grey spread
// over 0...255, and of 16 bits the high byte, except in grey pictures without alpha: those keep
// both, low byte first. Interlaced pictures are read as a whole here.
cimages_status cpng_start(cpng_decoder *decoder);

// Third step, once for each line from the top. The line lives until the next call; 64 bytes after it
// may be read.
cimages_status cpng_read_line(cpng_decoder *decoder, const uint8_t **line);

// libpng's sentence for the last CIMAGES_CORRUPT; NUL-terminated, lives as long as the decoder.
const char *cpng_message(const cpng_decoder *decoder);

// MARK: TIFF

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

// max_memory bounds each of libtiff's allocations. NULL when there is no memory.
ctiff_decoder *ctiff_open(const uint8_t *bytes, size_t count, size_t max_memory);
void ctiff_close(ctiff_decoder *decoder);
// Reads the first directory. Returns 0 when the file has none; then ctiff_message says why.
int ctiff_read_header(ctiff_decoder *decoder, ctiff_header *header);

// Samples in the machine's byte order, bits from the high end on. `plane` is 0 unless the samples are in
// separate planes. All return 0 when they fail, and for a CCITT group 4 line that ends early. Lines of a
// plane must be read in order. line: [line_bytes]
int ctiff_read_line(ctiff_decoder *decoder, uint32_t row, uint16_t plane, uint8_t *line);
// The tile with this pixel. tile: [tile_height, line_bytes]
int ctiff_read_tile(ctiff_decoder *decoder, uint32_t x, uint32_t y, uint16_t plane, uint8_t *tile);
// The whole picture as libtiff's RGBA interface converts it. pixels: [height, width, 4], aligned to 4
int ctiff_read_rgba(ctiff_decoder *decoder, uint8_t *pixels);

// libtiff's last sentence; NUL-terminated, lives as long as the decoder.
const char *ctiff_message(const ctiff_decoder *decoder);

// MARK: WebP

typedef struct {
    uint32_t width, height;              // of the canvas
    int has_alpha;
    int is_lossless;                     // the first frame
    uint32_t left, top;                  // of the first frame on the canvas
    uint32_t frame_width, frame_height;
} cwebp_header;

cimages_status cwebp_read_header(const uint8_t *bytes, size_t count, cwebp_header *header);

// canvas: [height, width, channels] zeros, of which the first frame's rectangle is written: R, G, B, and A
// (not premultiplied) where `channels` is 4. channels: 3 or 4
cimages_status cwebp_read_pixels(const uint8_t *bytes, size_t count, const cwebp_header *header,
                                 int channels, uint8_t *canvas);

// Writes a lossy file with alpha. rgba: [height, width, 4]  quality: 0 to 100
// Returns memory for cwebp_free and writes its size, or NULL when there is no memory or a side has more than
// 16,383 pixels.
uint8_t *cwebp_encode(const uint8_t *rgba, int width, int height, float quality, size_t *size);
void cwebp_free(uint8_t *memory);
