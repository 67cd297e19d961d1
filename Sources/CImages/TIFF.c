#include "CImages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

struct ctiff_decoder {
    TIFF *tiff;
    const uint8_t *bytes;
    size_t count;
    size_t offset;
    int is_group4;
    int early_ends;  // of lines, in CCITT group 4 data
    char message[1024];  // TIFFRGBAImageBegin writes up to 1024 bytes
};

// MARK: What libtiff calls

static int on_error(TIFF *tiff, void *owner, const char *module, const char *format,
                    va_list arguments) {
    (void)tiff;
    (void)module;
    ctiff_decoder *decoder = owner;
    vsnprintf(decoder->message, sizeof decoder->message, format, arguments);
    return 1;  // no other handler
}

static int on_warning(TIFF *tiff, void *owner, const char *module, const char *format,
                      va_list arguments) {
    (void)tiff;
    (void)module;
    ctiff_decoder *decoder = owner;
    if (decoder->is_group4) {
        vsnprintf(decoder->message, sizeof decoder->message, format, arguments);
        decoder->early_ends += strstr(decoder->message, "Premature EOL") != NULL;
    }
    return 1;
}

static tmsize_t on_read(thandle_t handle, void *target, tmsize_t size) {
    ctiff_decoder *decoder = handle;
    size_t left = decoder->count - decoder->offset;
    size_t wanted = size < 0 ? 0 : (size_t)size;
    if (wanted > left)
        wanted = left;
    memcpy(target, decoder->bytes + decoder->offset, wanted);
    decoder->offset += wanted;
    return (tmsize_t)wanted;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
    ctiff_decoder *decoder = handle;
    toff_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? decoder->offset : decoder->count;
    toff_t target = base + offset;
    if (target > decoder->count)
        return (toff_t)-1;
    decoder->offset = (size_t)target;
    return target;
}

static int on_close(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle) {
    return ((ctiff_decoder *)handle)->count;
}

static int on_map(thandle_t handle, void **base, toff_t *size) {
    ctiff_decoder *decoder = handle;
    *base = (void *)decoder->bytes;  // only read from
    *size = decoder->count;
    return 1;
}

// MARK: Entry points

ctiff_decoder *ctiff_open(const uint8_t *bytes, size_t count, size_t max_memory) {
    ctiff_decoder *decoder = calloc(1, sizeof *decoder);
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (decoder && options) {
        decoder->bytes = bytes;
        decoder->count = count;
        TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)max_memory);
        TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, decoder);
        TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, decoder);
        // Nothing is written; libtiff wants a function all the same.
        decoder->tiff = TIFFClientOpenExt(
            "", "r", decoder, on_read, on_read, on_seek, on_close, on_size, on_map, NULL, options);
    }
    if (options)
        TIFFOpenOptionsFree(options);
    return decoder;
}

void ctiff_close(ctiff_decoder *decoder) {
    if (decoder->tiff)
        TIFFClose(decoder->tiff);
    free(decoder);
}

const char *ctiff_message(const ctiff_decoder *decoder) {
    return decoder->message;
}

int ctiff_read_header(ctiff_decoder *decoder, ctiff_header *header) {
    TIFF *tiff = decoder->tiff;
    if (!tiff)
        return 0;
    memset(header, 0, sizeof *header);
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &header->width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &header->height);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &header->bits);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &header->samples);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &header->sample_format);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &header->photometric);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &header->planar);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &header->compression);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_FILLORDER, &header->fill_order);
    uint16_t extra_count = 0, *extra = NULL;
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extra_count, &extra)) {
        header->extra_count = extra_count;
        for (int i = 0; i < extra_count && i < 4; i++) header->extra[i] = extra[i];
    }
    decoder->is_group4 = header->compression == COMPRESSION_CCITTFAX4;
    if (header->compression == COMPRESSION_JPEG && header->photometric == PHOTOMETRIC_YCBCR
        && header->planar == PLANARCONFIG_CONTIG)
        TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    header->is_big_endian = TIFFIsBigEndian(tiff);
    header->is_tiled = TIFFIsTiled(tiff);
    tmsize_t line = 0;
    if (header->is_tiled) {
        TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &header->tile_width);
        TIFFGetField(tiff, TIFFTAG_TILELENGTH, &header->tile_height);
        line = TIFFTileRowSize(tiff);
        // What ctiff_read_tile will write.
        if (line > 0 && TIFFTileSize(tiff) / line != header->tile_height)
            line = 0;
    } else {
        line = TIFFScanlineSize(tiff);
    }
    header->line_bytes = line > 0 ? (size_t)line : 0;
    uint16_t *red, *green, *blue;
    if (header->bits <= 8 && TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue)) {
        header->has_palette = 1;
        for (int i = 0; i < 1 << header->bits; i++) {
            header->palette[i * 3] = (uint8_t)(red[i] >> 8);
            header->palette[i * 3 + 1] = (uint8_t)(green[i] >> 8);
            header->palette[i * 3 + 2] = (uint8_t)(blue[i] >> 8);
        }
    }
    return 1;
}

// How libtiff continues after a line that ends early depends on its version.
int ctiff_read_line(ctiff_decoder *decoder, uint32_t row, uint16_t plane, uint8_t *line) {
    int early_ends = decoder->early_ends;
    return TIFFReadScanline(decoder->tiff, line, row, plane) == 1
        && decoder->early_ends == early_ends;
}

int ctiff_read_tile(ctiff_decoder *decoder, uint32_t x, uint32_t y, uint16_t plane,
                    uint8_t *tile) {
    int early_ends = decoder->early_ends;
    return TIFFReadTile(decoder->tiff, tile, x, y, 0, plane) >= 0
        && decoder->early_ends == early_ends;
}

int ctiff_read_rgba(ctiff_decoder *decoder, uint8_t *pixels) {
    TIFFRGBAImage image;
    if (!TIFFRGBAImageBegin(&image, decoder->tiff, 1, decoder->message))
        return 0;
    // As stored: the caller applies the orientation.
    image.orientation = image.req_orientation = ORIENTATION_TOPLEFT;
    int done = TIFFRGBAImageGet(&image, (uint32_t *)pixels, image.width, image.height);
    TIFFRGBAImageEnd(&image);
    return done;
}
