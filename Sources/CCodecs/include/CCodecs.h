#pragma once

#include <stddef.h>
#include <stdint.h>

// Image libraries that are loaded when the first image needs one: linked, they would make every tool start
// slower and larger. One file per library; a package trait decides whether it is part of a build.
//
// Functions may be called from any thread; an open image belongs to one thread at a time.

typedef enum {
    CCODEC_OK = 0,
    CCODEC_CORRUPT,      // the library gave up; the message says why
    CCODEC_UNSUPPORTED,  // the library, or this shim, does not read this kind of file
    CCODEC_TRUNCATED,
    CCODEC_NO_MEMORY,
} ccodec_status;

enum { ccodec_message_size = 160 };

typedef struct {
    uint32_t width, height;  // pixels
    const char *mode;        // Pillow's name: L, LA, RGB, RGBA, CMYK or I;16
    size_t pixel_memory;     // bytes per pixel that decoding takes inside the library
    int orientation;         // EXIF's 1 to 8: how the container (AVIF) says that the pixels are turned

    // These live as long as the image and may be NULL.
    const uint8_t *exif;     // a TIFF structure
    size_t exif_count;
    const uint8_t *profile;  // ICC
    size_t profile_count;
} ccodec_header;

typedef struct {
    const char *name;    // libheif
    const char *soname;  // libheif.so.1

    // Loads the library; 0 when it is not installed.
    int (*load)(void);

    // Of the loaded library.
    const char *(*version)(void);

    // Reads a file's header. The bytes must outlive the image. The image must be closed, also when the
    // status is not CCODEC_OK and `image` is not NULL.
    ccodec_status (*open)(const uint8_t *bytes, size_t count, void **image, ccodec_header *header,
                          char message[ccodec_message_size]);

    // Writes the pixels: [height, width, bytes per pixel of the mode]
    ccodec_status (*decode)(void *image, uint8_t *pixels, char message[ccodec_message_size]);

    void (*close)(void *image);
} ccodec;

// NULL in a build without the trait.
const ccodec *ccodec_heif(void);       // HEIF
const ccodec *ccodec_avif(void);       // AVIF
const ccodec *ccodec_jpeg_xl(void);    // JPEGXL
const ccodec *ccodec_jpeg_2000(void);  // JPEG2000
