#include "Load.h"

#ifndef WITH_AVIF

const ccodec *ccodec_avif(void) { return NULL; }

#else

#include <avif/avif.h>

#define FUNCTIONS(F) \
    F(avifVersion) F(avifDecoderCreate) F(avifDecoderDestroy) F(avifDecoderSetIOMemory) \
    F(avifDecoderParse) F(avifDecoderNextImage) F(avifRGBImageSetDefaults) F(avifImageYUVToRGB) \
    F(avifResultToString)

#if AVIF_VERSION_MAJOR >= 1
#define SONAME "libavif.so.16"
#else
#define SONAME "libavif.so.15"
#endif
DEFINE_LOAD(SONAME, )

static const char *version(void) { return api.avifVersion(); }

static void close_image(void *decoder) { api.avifDecoderDestroy(decoder); }

static ccodec_status status(avifResult result, char *message) {
    switch (result) {
    case AVIF_RESULT_OK: return CCODEC_OK;
    case AVIF_RESULT_OUT_OF_MEMORY: return CCODEC_NO_MEMORY;
    case AVIF_RESULT_TRUNCATED_DATA: return CCODEC_TRUNCATED;
    case AVIF_RESULT_NOT_IMPLEMENTED:
    case AVIF_RESULT_UNSUPPORTED_DEPTH:
    case AVIF_RESULT_NO_CODEC_AVAILABLE:
#if AVIF_VERSION_MAJOR < 1
    // It knows neither animations with sound nor boxes that go on to the end of the file.
    case AVIF_RESULT_BMFF_PARSE_FAILED:
#endif
        return fail(CCODEC_UNSUPPORTED, message, api.avifResultToString(result));
    default: return fail(CCODEC_CORRUPT, message, api.avifResultToString(result));
    }
}

// EXIF's number for the container's turn (ISO/IEC 23008-12, 6.5.10 and 6.5.12): first anticlockwise, then mirrored.
static int orientation(const avifImage *picture) {
    // [mirrored: not, top and bottom, left and right][quarter turns]
    static const uint8_t numbers[3][4] = {{1, 8, 3, 6}, {4, 5, 2, 7}, {2, 7, 4, 5}};
#if AVIF_VERSION_MAJOR >= 1
    int axis = picture->imir.axis;
#else
    int axis = picture->imir.mode;
#endif
    int mirrored = picture->transformFlags & AVIF_TRANSFORM_IMIR ? axis ? 2 : 1 : 0;
    int turns = picture->transformFlags & AVIF_TRANSFORM_IROT ? picture->irot.angle & 3 : 0;
    return numbers[mirrored][turns];
}

static ccodec_status open_image(const uint8_t *bytes, size_t count, void **opaque,
                                ccodec_header *header, char *message) {
    avifDecoder *decoder = api.avifDecoderCreate();
    *opaque = decoder;
    if (!decoder)
        return CCODEC_NO_MEMORY;
    decoder->maxThreads = 1;  // the caller has threads of its own
    decoder->ignoreXMP = AVIF_TRUE;
    // As Pillow is: libheif up to 1.11 wrote no `pixi`, and the clean aperture is not applied.
    decoder->strictFlags &= ~(avifStrictFlags)(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED);
    avifResult result = api.avifDecoderSetIOMemory(decoder, bytes, count);
    if (result == AVIF_RESULT_OK)
        result = api.avifDecoderParse(decoder);
    if (result != AVIF_RESULT_OK)
        return status(result, message);
    const avifImage *picture = decoder->image;
    header->width = picture->width;
    header->height = picture->height;
    header->mode = decoder->alphaPresent ? "RGBA" : "RGB";
    header->orientation = orientation(picture);
    // Planes as stored, twice in a grid.
    size_t samples = picture->yuvFormat == AVIF_PIXEL_FORMAT_YUV400 ? 1
        : picture->yuvFormat == AVIF_PIXEL_FORMAT_YUV444           ? 3
                                                                    : 2;
    header->pixel_memory = 2 * (samples + (size_t)decoder->alphaPresent) * (picture->depth > 8 ? 2 : 1);
    header->exif = picture->exif.data;
    header->exif_count = picture->exif.size;
    header->profile = picture->icc.data;
    header->profile_count = picture->icc.size;
    return CCODEC_OK;
}

static uint32_t rows(const avifImage *picture, int plane) {
    return plane > 0 && picture->yuvFormat == AVIF_PIXEL_FORMAT_YUV420 ? (picture->height + 1) / 2
                                                                       : picture->height;
}

// Cuts 10 and 12 bits to 8 in place: what libavif 1, and so Pillow, does for opaque colour images.
static avifImage narrowed(const avifImage *picture) {
    avifImage narrow = *picture;
    narrow.depth = 8;
    for (int plane = 0; plane < 3; plane++) {
        uint32_t bytes = picture->yuvRowBytes[plane];
        for (uint32_t y = 0; picture->yuvPlanes[plane] && y < rows(picture, plane); y++) {
            uint8_t *line = picture->yuvPlanes[plane] + (size_t)y * bytes;
            const uint16_t *wide = (const uint16_t *)(const void *)line;
            for (uint32_t x = 0; x < bytes / 2; x++) line[x] = (uint8_t)(wide[x] >> (picture->depth - 8));
        }
    }
    return narrow;
}

static ccodec_status decode(void *opaque, uint8_t *pixels, char *message) {
    avifDecoder *decoder = opaque;
    uint32_t width = decoder->image->width, height = decoder->image->height;
    int has_alpha = decoder->alphaPresent;
    avifResult result = api.avifDecoderNextImage(decoder);
    if (result != AVIF_RESULT_OK)
        return status(result, message);
    const avifImage *picture = decoder->image;
    if (picture->width != width || picture->height != height)
        return fail(CCODEC_CORRUPT, message, "its size is not that of its header");
    avifImage narrow;
    if (picture->depth > 8 && !has_alpha && picture->yuvFormat != AVIF_PIXEL_FORMAT_YUV400) {
        narrow = narrowed(picture);
        picture = &narrow;
    }
    avifRGBImage rgb;
    api.avifRGBImageSetDefaults(&rgb, picture);
    rgb.depth = 8;
    rgb.format = has_alpha ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
    rgb.pixels = pixels;
    rgb.rowBytes = width * (has_alpha ? 4 : 3);
    return status(api.avifImageYUVToRGB(picture, &rgb), message);
}

DEFINE_CODEC(ccodec_avif, "libavif", SONAME)

#endif
