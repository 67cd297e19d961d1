#include "Load.h"

#ifndef WITH_RAW

const ccodec *ccodec_raw(void) { return NULL; }

#else

#include <libraw/libraw.h>

#define FUNCTIONS(F) \
    F(libraw_version) F(libraw_strerror) F(libraw_init) F(libraw_close) F(libraw_open_buffer) \
    F(libraw_unpack_thumb) F(libraw_dcraw_make_mem_thumb) F(libraw_dcraw_clear_mem)

#define SONAME "libraw_r.so." EXPANDED(LIBRAW_SHLIB_CURRENT)
DEFINE_LOAD(SONAME, )

typedef struct {
    libraw_data_t *raw;
    libraw_processed_image_t *preview;
} image;

static const char *version(void) { return api.libraw_version(); }

static void close_image(void *opaque) {
    image *image = opaque;
    if (image->preview)
        api.libraw_dcraw_clear_mem(image->preview);
    if (image->raw)
        api.libraw_close(image->raw);
    free(image);
}

static ccodec_status status(int code, char *message) {
    if (code == LIBRAW_UNSUFFICIENT_MEMORY)
        return CCODEC_NO_MEMORY;
    if (code == LIBRAW_FILE_UNSUPPORTED)
        return fail(CCODEC_UNSUPPORTED, message, "this camera's files");
    if (code == LIBRAW_NO_THUMBNAIL || code == LIBRAW_UNSUPPORTED_THUMBNAIL)
        return fail(CCODEC_UNSUPPORTED, message, "no preview of a known kind");
    return fail(CCODEC_CORRUPT, message, api.libraw_strerror(code));
}

// The largest preview, as the library selects it.
static ccodec_status open_image(const uint8_t *bytes, size_t count, void **opaque,
                                ccodec_header *header, char *message) {
    // dcraw's turns, in EXIF's numbers.
    static const int orientations[] = {1, 2, 4, 3, 5, 8, 6, 7};
    image *image = calloc(1, sizeof *image);
    *opaque = image;
    if (!image || !(image->raw = api.libraw_init(0)))
        return CCODEC_NO_MEMORY;
    int code = api.libraw_open_buffer(image->raw, (void *)bytes, count);
    if (code == LIBRAW_SUCCESS)
        code = api.libraw_unpack_thumb(image->raw);
    if (code == LIBRAW_SUCCESS)
        image->preview = api.libraw_dcraw_make_mem_thumb(image->raw, &code);
    if (code != LIBRAW_SUCCESS || !image->preview)
        return status(code, message);
    header->orientation = orientations[image->raw->sizes.flip & 7];
    if (image->preview->type == LIBRAW_IMAGE_JPEG) {
        header->jpeg = image->preview->data;
        header->jpeg_count = image->preview->data_size;
        return CCODEC_OK;
    }
    const libraw_processed_image_t *preview = image->preview;
    if (preview->type != LIBRAW_IMAGE_BITMAP || preview->bits != 8 || preview->colors != 3
        || (size_t)preview->width * preview->height * 3 > preview->data_size)
        return fail(CCODEC_UNSUPPORTED, message, "no preview of a known kind");
    header->width = preview->width;
    header->height = preview->height;
    header->mode = "RGB";
    header->pixel_memory = 3;
    return CCODEC_OK;
}

static ccodec_status decode(void *opaque, uint8_t *pixels, char *message) {
    const libraw_processed_image_t *preview = ((image *)opaque)->preview;
    (void)message;
    memcpy(pixels, preview->data, (size_t)preview->width * preview->height * 3);
    return CCODEC_OK;
}

const ccodec *ccodec_raw(void) {
    static const ccodec codec = {"libraw", SONAME, load, version, open_image, decode, close_image};
    return &codec;
}

#endif
