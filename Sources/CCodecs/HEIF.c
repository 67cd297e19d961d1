#include "Load.h"

#ifndef WITH_HEIF

const ccodec *ccodec_heif(void) { return NULL; }

#else

#include <libheif/heif.h>

#define FUNCTIONS(F) \
    F(heif_init) F(heif_get_version) F(heif_context_alloc) F(heif_context_free) \
    F(heif_context_read_from_memory_without_copy) F(heif_context_set_max_decoding_threads) \
    F(heif_context_get_primary_image_handle) F(heif_image_handle_release) \
    F(heif_image_handle_get_width) F(heif_image_handle_get_height) \
    F(heif_image_handle_has_alpha_channel) F(heif_image_handle_is_premultiplied_alpha) \
    F(heif_image_handle_get_luma_bits_per_pixel) F(heif_image_handle_get_list_of_metadata_block_IDs) \
    F(heif_image_handle_get_metadata_size) F(heif_image_handle_get_metadata) \
    F(heif_image_handle_get_raw_color_profile_size) F(heif_image_handle_get_raw_color_profile) \
    F(heif_decoding_options_alloc) F(heif_decoding_options_free) F(heif_decode_image) \
    F(heif_image_get_primary_width) F(heif_image_get_primary_height) \
    F(heif_image_get_plane_readonly) F(heif_image_release)

// heif_init also finds the decoders that a distribution packages apart from the library.
DEFINE_LOAD("libheif.so.1", api.heif_init(NULL))

typedef struct {
    struct heif_context *context;
    struct heif_image_handle *handle;
    uint32_t width, height;
    int has_alpha;
    uint8_t *exif, *profile;
} image;

enum { maximum_metadata = 4 << 20 };

static const char *version(void) { return api.heif_get_version(); }

static ccodec_status status(struct heif_error error, char *message) {
    ccodec_status status = CCODEC_CORRUPT;
    if (error.code == heif_error_Memory_allocation_error
        && error.subcode != heif_suberror_Security_limit_exceeded)
        return CCODEC_NO_MEMORY;
    // Newer versions of the library raise their limits and read more kinds of files.
    if (error.code == heif_error_Unsupported_feature || error.code == heif_error_Unsupported_filetype
        || error.code == heif_error_Memory_allocation_error
        || error.subcode == heif_suberror_Security_limit_exceeded
        || (error.message && strstr(error.message, "auxiliary")))
        status = CCODEC_UNSUPPORTED;
    return fail(status, message, error.message ? error.message : "it is damaged");
}

static void close_image(void *opaque) {
    image *image = opaque;
    if (image->handle)
        api.heif_image_handle_release(image->handle);
    if (image->context)
        api.heif_context_free(image->context);
    free(image->exif);
    free(image->profile);
    free(image);
}

static void read_metadata(image *image, ccodec_header *header) {
    heif_item_id block;
    if (api.heif_image_handle_get_list_of_metadata_block_IDs(image->handle, "Exif", &block, 1) == 1) {
        size_t size = api.heif_image_handle_get_metadata_size(image->handle, block);
        if (size > 4 && size <= maximum_metadata && (image->exif = malloc(size))
            && api.heif_image_handle_get_metadata(image->handle, block, image->exif).code
                == heif_error_Ok) {
            // The number of bytes before the TIFF structure comes first (ISO/IEC 23008-12, A.2.1).
            const uint8_t *exif = image->exif;
            size_t start = 4 + ((size_t)exif[0] << 24 | exif[1] << 16 | exif[2] << 8 | exif[3]);
            if (start < size) {
                header->exif = exif + start;
                header->exif_count = size - start;
            }
        }
    }
    size_t size = api.heif_image_handle_get_raw_color_profile_size(image->handle);
    if (size > 0 && size <= maximum_metadata && (image->profile = malloc(size))
        && api.heif_image_handle_get_raw_color_profile(image->handle, image->profile).code
            == heif_error_Ok) {
        header->profile = image->profile;
        header->profile_count = size;
    }
}

static ccodec_status open_image(const uint8_t *bytes, size_t count, void **opaque,
                                ccodec_header *header, char *message) {
    image *image = calloc(1, sizeof *image);
    *opaque = image;
    if (!image || !(image->context = api.heif_context_alloc()))
        return CCODEC_NO_MEMORY;
    // The caller has threads of its own.
    api.heif_context_set_max_decoding_threads(image->context, 0);
    struct heif_error error =
        api.heif_context_read_from_memory_without_copy(image->context, bytes, count, NULL);
    if (error.code == heif_error_Ok)
        error = api.heif_context_get_primary_image_handle(image->context, &image->handle);
    if (error.code != heif_error_Ok)
        return status(error, message);
    int width = api.heif_image_handle_get_width(image->handle);
    int height = api.heif_image_handle_get_height(image->handle);
    if (width < 1 || height < 1)
        return fail(CCODEC_CORRUPT, message, "it has no pixels");
    image->width = header->width = (uint32_t)width;
    image->height = header->height = (uint32_t)height;
    image->has_alpha = api.heif_image_handle_has_alpha_channel(image->handle);
    header->mode = image->has_alpha ? "RGBA" : "RGB";
    // Planes as stored, in 8 bits, and interleaved.
    int is_wide = api.heif_image_handle_get_luma_bits_per_pixel(image->handle) > 8;
    header->pixel_memory = (is_wide ? 8 : 5) + (image->has_alpha ? 3 : 0);
    read_metadata(image, header);
    return CCODEC_OK;
}

static ccodec_status decode(void *opaque, uint8_t *pixels, char *message) {
    image *image = opaque;
    struct heif_decoding_options *options = api.heif_decoding_options_alloc();
    if (!options)
        return CCODEC_NO_MEMORY;
    options->convert_hdr_to_8bit = 1;
    struct heif_image *decoded = NULL;
    struct heif_error error = api.heif_decode_image(
        image->handle, &decoded, heif_colorspace_RGB,
        image->has_alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, options);
    api.heif_decoding_options_free(options);
    if (error.code != heif_error_Ok)
        return status(error, message);
    int stride = 0;
    const uint8_t *plane =
        api.heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
    ccodec_status result = CCODEC_OK;
    size_t line = (size_t)image->width * (image->has_alpha ? 4 : 3);
    if (!plane || stride < 0 || (size_t)stride < line
        || (uint32_t)api.heif_image_get_primary_width(decoded) != image->width
        || (uint32_t)api.heif_image_get_primary_height(decoded) != image->height) {
        result = fail(CCODEC_CORRUPT, message, "its size is not that of its header");
    } else {
        for (uint32_t y = 0; y < image->height; y++)
            memcpy(pixels + y * line, plane + y * (size_t)stride, line);
        if (image->has_alpha && api.heif_image_handle_is_premultiplied_alpha(image->handle)) {
            uint8_t *end = pixels + line * image->height;
            for (uint8_t *pixel = pixels; pixel < end; pixel += 4) {
                for (int c = 0; c < 3 && pixel[3] > 0; c++) {
                    unsigned value = 255u * pixel[c] / pixel[3];
                    pixel[c] = (uint8_t)(value > 255 ? 255 : value);
                }
            }
        }
    }
    api.heif_image_release(decoded);
    return result;
}

DEFINE_CODEC(ccodec_heif, "libheif", "libheif.so.1")

#endif
