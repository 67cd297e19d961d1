#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CJPEGEncode.h"

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
    CJPEG_TOO_MUCH_MEMORY,  // more than allowed
    CJPEG_DAMAGED,          // something is wrong, and a decoder that does not save decides what
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

// What of the picture is wanted, and how.
typedef struct {
    uint32_t top, bottom;  // lines [top, bottom)
    uint32_t left, right;  // pixels [left, right) of each
    // A picture that comes in several scans (progressive, or a component at a time) is given up at
    // scan max_scans + 1, and when its coefficients need more than max_memory bytes.
    int max_scans;
    size_t max_memory;
    // Saves what the wanted part does not need. The pixels are the same; of damage nothing is made but
    // CJPEG_DAMAGED.
    int saving;
    // 2, 4 or 8: decodes the picture at that part of its size, rounded up, of which lines and pixels above
    // are then counted; nothing is saved. 1 for all of it.
    uint32_t scale;
} cjpeg_request;

// Second step. components is the header's and must be 1 (grey), 3 (R, G, B) or 4 (C, M, Y, K).
cjpeg_status cjpeg_start(cjpeg_decoder *decoder, const cjpeg_request *request);

// Third step, once for each wanted line: samples interleaved, from pixel `left` on, four components
// inverted (no ink 0; files hold it inverted). The line lives until the next call; 64 bytes after
// it may be read.
cjpeg_status cjpeg_read_line(cjpeg_decoder *decoder, const uint8_t **line);

// Last step: reads to the picture's end.
cjpeg_status cjpeg_finish(cjpeg_decoder *decoder);

// libjpeg's sentence for the last CJPEG_CORRUPT; NUL-terminated, lives as long as the decoder.
const char *cjpeg_message(const cjpeg_decoder *decoder);
