#include "Load.h"

#ifndef WITH_JPEGXL

const ccodec *ccodec_jpeg_xl(void) { return NULL; }

#else

#include <jxl/decode.h>
#include <jxl/version.h>

#define FUNCTIONS(F) \
    F(JxlDecoderVersion) F(JxlDecoderCreate) F(JxlDecoderDestroy) F(JxlDecoderSubscribeEvents) \
    F(JxlDecoderSetInput) F(JxlDecoderCloseInput) F(JxlDecoderProcessInput) \
    F(JxlDecoderGetBasicInfo) F(JxlDecoderGetICCProfileSize) F(JxlDecoderGetColorAsICCProfile) \
    F(JxlDecoderImageOutBufferSize) F(JxlDecoderSetImageOutBuffer)

// Until version 1 every minor version has a name of its own.
#define SONAME "libjxl.so." EXPANDED(JPEGXL_MAJOR_VERSION) "." EXPANDED(JPEGXL_MINOR_VERSION)
DEFINE_LOAD(SONAME, )

typedef struct {
    JxlDecoder *decoder;
    JxlPixelFormat format;
    size_t size;
    uint8_t *profile;
} image;

enum { maximum_profile = 4 << 20 };

static const char *version(void) {
    static char text[32];
    uint32_t number = api.JxlDecoderVersion();
    snprintf(text, sizeof text, "%u.%u.%u", number / 1000000, number / 1000 % 1000, number % 1000);
    return text;
}

static void close_image(void *opaque) {
    image *image = opaque;
    if (image->decoder)
        api.JxlDecoderDestroy(image->decoder);
    free(image->profile);
    free(image);
}

static ccodec_status status(JxlDecoderStatus status, char *message) {
    // The input is closed, so wanting more of it means that it ends early.
    if (status == JXL_DEC_NEED_MORE_INPUT)
        return CCODEC_TRUNCATED;
    return fail(CCODEC_CORRUPT, message, "it is damaged");
}

static void read_profile(image *image, ccodec_header *header) {
    size_t size = 0;
#if JPEGXL_MAJOR_VERSION == 0 && JPEGXL_MINOR_VERSION < 9
#define PROFILE(function, ...) \
    api.function(image->decoder, NULL, JXL_COLOR_PROFILE_TARGET_DATA, __VA_ARGS__)
#else
#define PROFILE(function, ...) \
    api.function(image->decoder, JXL_COLOR_PROFILE_TARGET_DATA, __VA_ARGS__)
#endif
    if (PROFILE(JxlDecoderGetICCProfileSize, &size) == JXL_DEC_SUCCESS && size > 0
        && size <= maximum_profile && (image->profile = malloc(size))
        && PROFILE(JxlDecoderGetColorAsICCProfile, image->profile, size) == JXL_DEC_SUCCESS) {
        header->profile = image->profile;
        header->profile_count = size;
    }
}

static ccodec_status open_image(const uint8_t *bytes, size_t count, void **opaque,
                                ccodec_header *header, char *message) {
    image *image = calloc(1, sizeof *image);
    *opaque = image;
    if (!image || !(image->decoder = api.JxlDecoderCreate(NULL)))
        return CCODEC_NO_MEMORY;
    JxlDecoder *decoder = image->decoder;
    if (api.JxlDecoderSubscribeEvents(
            decoder, JXL_DEC_BASIC_INFO | JXL_DEC_COLOR_ENCODING | JXL_DEC_FULL_IMAGE)
            != JXL_DEC_SUCCESS
        || api.JxlDecoderSetInput(decoder, bytes, count) != JXL_DEC_SUCCESS)
        return CCODEC_NO_MEMORY;
    api.JxlDecoderCloseInput(decoder);
    JxlDecoderStatus event = api.JxlDecoderProcessInput(decoder);
    JxlBasicInfo info;
    if (event != JXL_DEC_BASIC_INFO)
        return status(event, message);
    if (api.JxlDecoderGetBasicInfo(decoder, &info) != JXL_DEC_SUCCESS)
        return status(JXL_DEC_ERROR, message);
    int is_grey = info.num_color_channels == 1;
    int has_alpha = info.alpha_bits > 0;
    // Already turned as the codestream says; EXIF is ignored (ISO/IEC 18181-2).
    header->width = info.xsize;
    header->height = info.ysize;
    header->mode = is_grey ? has_alpha ? "LA" : "L" : has_alpha ? "RGBA" : "RGB";
    // Lossless images are held as 32-bit numbers.
    uint32_t channels = info.num_color_channels + info.num_extra_channels;
    header->pixel_memory = (info.uses_original_profile ? 8 : 2) * channels;
    image->format = (JxlPixelFormat){
        (uint32_t)(is_grey ? 1 : 3) + (uint32_t)has_alpha, JXL_TYPE_UINT8, JXL_NATIVE_ENDIAN, 0};
    image->size = (size_t)info.xsize * info.ysize * image->format.num_channels;
    event = api.JxlDecoderProcessInput(decoder);
    if (event != JXL_DEC_COLOR_ENCODING)
        return status(event, message);
    read_profile(image, header);
    return CCODEC_OK;
}

static ccodec_status decode(void *opaque, uint8_t *pixels, char *message) {
    image *image = opaque;
    JxlDecoderStatus event = api.JxlDecoderProcessInput(image->decoder);
    if (event == JXL_DEC_NEED_IMAGE_OUT_BUFFER) {
        size_t size = 0;
        if (api.JxlDecoderImageOutBufferSize(image->decoder, &image->format, &size)
                != JXL_DEC_SUCCESS
            || size != image->size
            || api.JxlDecoderSetImageOutBuffer(image->decoder, &image->format, pixels, size)
                != JXL_DEC_SUCCESS)
            return status(JXL_DEC_ERROR, message);
        event = api.JxlDecoderProcessInput(image->decoder);
    }
    // Of an animation the first frame.
    return event == JXL_DEC_FULL_IMAGE ? CCODEC_OK : status(event, message);
}

DEFINE_CODEC(ccodec_jpeg_xl, "libjxl", SONAME)

#endif
