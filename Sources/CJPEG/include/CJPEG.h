#pragma once

#include <stddef.h>
#include <stdint.h>

// A whole JPEG held in memory, decoded with libjpeg(-turbo).
//
// libjpeg reports errors by calling a function that must not return. Here that function is a
// longjmp to a setjmp in the cjpeg_ function that is running, so no jump ever crosses a caller's
// frame. A decoder belongs to one thread at a time; different decoders share nothing.

typedef struct cjpeg_decoder cjpeg_decoder;

typedef enum {
    CJPEG_OK = 0,
    CJPEG_TRUNCATED,       // the bytes end before the picture does
    CJPEG_CORRUPT,         // libjpeg gave up; cjpeg_message says why
    CJPEG_TOO_MANY_SCANS,  // more scans than allowed
    CJPEG_NO_MEMORY,
} cjpeg_status;

typedef struct {
    uint32_t width, height;  // pixels, both at least 1
    int components;          // components stored in the file
} cjpeg_header;

// The bytes must stay alive and unchanged until cjpeg_destroy. NULL when there is no memory.
cjpeg_decoder *cjpeg_create(const uint8_t *bytes, size_t count);
void cjpeg_destroy(cjpeg_decoder *decoder);

// First step: everything before the picture's first scan.
cjpeg_status cjpeg_read_header(cjpeg_decoder *decoder, cjpeg_header *header);

// Second and last step: writes height * width * components bytes, rows top to bottom, samples
// interleaved. components is the header's and must be 1 (grey), 3 (R, G, B) or 4 (C, M, Y, K as
// stored, so inverted in the files that Adobe's programs write). A picture that comes in several
// scans (progressive, or a component at a time) is given up at scan max_scans + 1.
cjpeg_status cjpeg_read_pixels(cjpeg_decoder *decoder, int max_scans, uint8_t *pixels);

// libjpeg's sentence for the last CJPEG_CORRUPT; NUL-terminated, lives as long as the decoder.
const char *cjpeg_message(const cjpeg_decoder *decoder);
