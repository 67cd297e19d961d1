#pragma once

#include <stddef.h>
#include <stdint.h>

// A whole PNG held in memory, decoded with libpng.
//
// libpng reports errors by calling a function that must not return. Here that function is a longjmp
// to a setjmp in the cpng_ function that is running, so no jump ever crosses a caller's frame. A
// decoder belongs to one thread at a time; different decoders share nothing.

typedef struct cpng_decoder cpng_decoder;

typedef enum {
    CPNG_OK = 0,
    CPNG_TRUNCATED,  // the bytes end before the picture does
    CPNG_CORRUPT,    // libpng gave up; cpng_message says why
    CPNG_NO_MEMORY,
} cpng_status;

typedef struct {
    uint32_t width, height;  // pixels, both at least 1
    int bit_depth;           // 1, 2, 4, 8, 16
    int channels;            // as stored: 1 grey or palette, 2 grey and alpha, 3 RGB, 4 RGBA
    int has_palette;
    int is_interlaced;
    uint8_t palette[768];    // red, green, blue; entries that the file lacks are black
} cpng_header;

// The bytes must stay alive and unchanged until cpng_destroy. NULL when there is no memory.
cpng_decoder *cpng_create(const uint8_t *bytes, size_t count);
void cpng_destroy(cpng_decoder *decoder);

// First step: everything before the picture's data.
cpng_status cpng_read_header(cpng_decoder *decoder, cpng_header *header);

// Second step. Samples come as bytes: 1 bit as 0 or 255 (palettes: 0 or 1), 2 and 4 bits of grey spread
// over 0...255, and of 16 bits the high byte, except in grey pictures without alpha: those keep
// both, low byte first. Interlaced pictures are read as a whole here.
cpng_status cpng_start(cpng_decoder *decoder);

// Third step, once for each line from the top. The line lives until the next call; 64 bytes after it
// may be read.
cpng_status cpng_read_line(cpng_decoder *decoder, const uint8_t **line);

// libpng's sentence for the last CPNG_CORRUPT; NUL-terminated, lives as long as the decoder.
const char *cpng_message(const cpng_decoder *decoder);
