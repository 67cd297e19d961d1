#include "Load.h"

#ifndef WITH_JPEG2000

const ccodec *ccodec_jpeg_2000(void) { return NULL; }

#else

#if __has_include(<openjpeg-2.5/openjpeg.h>)
#include <openjpeg-2.5/openjpeg.h>
#else
#include <openjpeg-2.4/openjpeg.h>
#endif

#define FUNCTIONS(F) \
    F(opj_version) F(opj_stream_create) F(opj_stream_destroy) F(opj_stream_set_read_function) \
    F(opj_stream_set_skip_function) F(opj_stream_set_seek_function) F(opj_stream_set_user_data) \
    F(opj_stream_set_user_data_length) F(opj_create_decompress) F(opj_destroy_codec) \
    F(opj_set_default_decoder_parameters) F(opj_setup_decoder) F(opj_set_error_handler) \
    F(opj_read_header) F(opj_decode) F(opj_end_decompress) F(opj_image_destroy)

DEFINE_LOAD("libopenjp2.so.7", )

typedef struct {
    const uint8_t *bytes;
    size_t count, offset;
    opj_stream_t *stream;
    opj_codec_t *codec;
    opj_image_t *picture;
    uint32_t width, height, components;
    int is_wide, is_ycc;
    char message[ccodec_message_size];  // the library's first complaint
} image;

static const char *version(void) { return api.opj_version(); }

// MARK: What the library calls

static OPJ_SIZE_T on_read(void *target, OPJ_SIZE_T size, void *opaque) {
    image *image = opaque;
    size_t left = image->count - image->offset;
    if (left == 0)
        return (OPJ_SIZE_T)-1;
    if (size > left)
        size = left;
    memcpy(target, image->bytes + image->offset, size);
    image->offset += size;
    return size;
}

static OPJ_OFF_T on_skip(OPJ_OFF_T count, void *opaque) {
    image *image = opaque;
    if (count < 0 || (uint64_t)count > image->count - image->offset)
        return -1;
    image->offset += (size_t)count;
    return count;
}

static OPJ_BOOL on_seek(OPJ_OFF_T offset, void *opaque) {
    image *image = opaque;
    if (offset < 0 || (uint64_t)offset > image->count)
        return OPJ_FALSE;
    image->offset = (size_t)offset;
    return OPJ_TRUE;
}

static void on_error(const char *text, void *opaque) {
    image *image = opaque;
    if (image->message[0] == 0)
        snprintf(image->message, sizeof image->message, "%.*s", (int)strcspn(text, "\r\n"), text);
}

// MARK: Entry points

static void close_image(void *opaque) {
    image *image = opaque;
    if (image->picture)
        api.opj_image_destroy(image->picture);
    if (image->codec)
        api.opj_destroy_codec(image->codec);
    if (image->stream)
        api.opj_stream_destroy(image->stream);
    free(image);
}

static ccodec_status damaged(image *image, char *message) {
    return fail(CCODEC_CORRUPT, message, image->message[0] ? image->message : "it is damaged");
}

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

// The content of a box among those in `bytes` (ISO/IEC 15444-1, I.4), or NULL.
static const uint8_t *find_box(const uint8_t *bytes, size_t count, const char *kind, size_t *size) {
    while (count >= 8) {
        size_t length = big_endian(bytes);
        if (length == 0 || length > count)
            length = count;
        if (length < 8)
            return NULL;
        if (memcmp(bytes + 4, kind, 4) == 0) {
            *size = length - 8;
            return bytes + 8;
        }
        bytes += length;
        count -= length;
    }
    return NULL;
}

// The number of the file's colour space (table I.10), or 0. The library reports it only after decoding.
static uint32_t colour_space(const image *image) {
    size_t size;
    const uint8_t *box = find_box(image->bytes, image->count, "jp2h", &size);
    if (box)
        box = find_box(box, size, "colr", &size);
    return box && size >= 7 && box[0] == 1 ? big_endian(box + 3) : 0;
}

// The modes of Pillow (Jpeg2KImagePlugin.py) and the layouts that it unpacks (Jpeg2KDecode.c).
static ccodec_status check_layout(image *image, ccodec_header *header, char *message) {
    static const char *const modes[] = {"L", "LA", "RGB", "RGBA"};
    const opj_image_t *picture = image->picture;
    const opj_image_comp_t *first = &picture->comps[0];
    if (picture->numcomps < 1 || picture->numcomps > 4)
        return fail(CCODEC_UNSUPPORTED, message, "this number of components");
    image->components = picture->numcomps;
    enum { cmyk = 12, lab = 14, ycc = 18, e_ycc = 24 };
    uint32_t space = colour_space(image);
    if (space == lab || space == e_ycc)
        return fail(CCODEC_UNSUPPORTED, message, space == lab ? "L*a*b* colours" : "e-YCC colours");
    // Chroma that is coded smaller tells YCC where nothing else does.
    uint32_t smaller = 0;
    for (uint32_t c = picture->numcomps; c-- > 0;) {
        const opj_image_comp_t *component = &picture->comps[c];
        if (component->prec < 1 || component->prec > 31)
            return fail(CCODEC_UNSUPPORTED, message, "this number of bits a sample");
        if (component->dx != 1 || component->dy != 1)
            smaller = c + 1;
        if (component->dx < 1 || component->dy < 1 || (smaller && picture->numcomps < 3))
            return fail(CCODEC_UNSUPPORTED, message, "components of this size");
    }
    if (space == 0 && (smaller == 2 || smaller == 3))
        space = ycc;
    image->is_ycc = space == ycc && picture->numcomps >= 3;
    // Pillow's lines drift apart where a component's samples do not end with the line.
    for (uint32_t c = 0; c < picture->numcomps && !image->is_ycc; c++)
        if (image->width % picture->comps[c].dx != 0 || picture->x0 % picture->comps[c].dx != 0)
            return fail(CCODEC_UNSUPPORTED, message, "components of this size");
    image->is_wide = picture->numcomps == 1 && first->prec > 8;
    header->mode = space == cmyk && picture->numcomps == 4 ? "CMYK"
        : image->is_wide                                               ? "I;16"
                                                         : modes[picture->numcomps - 1];
    return CCODEC_OK;
}

static ccodec_status open_image(const uint8_t *bytes, size_t count, void **opaque,
                                ccodec_header *header, char *message) {
    image *image = calloc(1, sizeof *image);
    *opaque = image;
    if (!image)
        return CCODEC_NO_MEMORY;
    image->bytes = bytes;
    image->count = count;
    image->stream = api.opj_stream_create(1 << 16, OPJ_TRUE);
    image->codec = api.opj_create_decompress(bytes[0] == 0xFF ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    if (!image->stream || !image->codec)
        return CCODEC_NO_MEMORY;
    api.opj_stream_set_read_function(image->stream, on_read);
    api.opj_stream_set_skip_function(image->stream, on_skip);
    api.opj_stream_set_seek_function(image->stream, on_seek);
    api.opj_stream_set_user_data(image->stream, image, NULL);
    api.opj_stream_set_user_data_length(image->stream, count);
    api.opj_set_error_handler(image->codec, on_error, image);
    opj_dparameters_t parameters;
    api.opj_set_default_decoder_parameters(&parameters);
    if (!api.opj_setup_decoder(image->codec, &parameters)
        || !api.opj_read_header(image->stream, image->codec, &image->picture))
        return damaged(image, message);
    const opj_image_t *picture = image->picture;
    if (picture->x1 <= picture->x0 || picture->y1 <= picture->y0)
        return fail(CCODEC_CORRUPT, message, "it has no pixels");
    image->width = header->width = picture->x1 - picture->x0;
    image->height = header->height = picture->y1 - picture->y0;
    // Samples are held in 32 bits, twice while they are transformed.
    header->pixel_memory = 8 * (size_t)picture->numcomps + 4;
    header->profile = picture->icc_profile_buf;
    header->profile_count = picture->icc_profile_len;
    return check_layout(image, header, message);
}

// Pillow's j2ku_shift: a sample in `bits` bits, rounded.
static inline uint32_t scaled(const opj_image_comp_t *component, size_t index, int bits) {
    uint32_t value = (uint32_t)component->data[index];
    int shift = bits - (int)component->prec;
    if (component->sgnd)
        value += 1u << (component->prec - 1);
    if (shift >= 0)
        return value << shift;
    value = (value + (1u << (-shift - 1))) >> -shift;
    uint32_t most = (1u << bits) - 1;
    return value > most ? most : value;
}

static inline uint8_t clipped(int value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

// Pillow's ImagingConvertYCbCr2RGB (ConvertYCbCr.c): fixed point with 6 bits.
static void convert_ycc(uint8_t *pixel) {
    int y = pixel[0], cb = pixel[1] - 128, cr = pixel[2] - 128;
    // Each product is rounded as the table's entry is.
#define ENTRY(factor, value) ((int)((factor) * (value) * 64 + 0.5))
    pixel[0] = clipped(y + (ENTRY(1.40200, cr) >> 6));
    pixel[1] = clipped(y + ((ENTRY(-0.34414, cb) + ENTRY(-0.71414, cr)) >> 6));
    pixel[2] = clipped(y + (ENTRY(1.77200, cb) >> 6));
}

static ccodec_status decode(void *opaque, uint8_t *pixels, char *message) {
    image *image = opaque;
    if (!api.opj_decode(image->codec, image->stream, image->picture)
        || !api.opj_end_decompress(image->codec, image->stream))
        return damaged(image, message);
    const opj_image_t *picture = image->picture;
    if (picture->numcomps != image->components)
        return fail(CCODEC_UNSUPPORTED, message, "a palette");
    uint32_t width = image->width, height = image->height, channels = image->components;
    for (uint32_t c = 0; c < channels; c++) {
        const opj_image_comp_t *component = &picture->comps[c];
        if (!component->data || (uint64_t)component->w * component->dx < width
            || (uint64_t)component->h * component->dy < height)
            return fail(CCODEC_CORRUPT, message, "its components do not cover it");
        for (uint32_t y = 0; y < height; y++) {
            size_t line = (size_t)(y / component->dy) * component->w;
            for (uint32_t x = 0; x < width; x++) {
                size_t index = line + x / component->dx;
                size_t place = ((size_t)y * width + x) * channels + c;
                if (image->is_wide) {
                    uint32_t value = scaled(component, index, 16);
                    pixels[place * 2] = (uint8_t)value;
                    pixels[place * 2 + 1] = (uint8_t)(value >> 8);
                } else {
                    pixels[place] = (uint8_t)scaled(component, index, 8);
                }
            }
        }
    }
    if (image->is_ycc) {
        for (size_t i = 0; i < (size_t)width * height; i++) convert_ycc(pixels + i * channels);
    }
    return CCODEC_OK;
}

DEFINE_CODEC(ccodec_jpeg_2000, "openjpeg", "libopenjp2.so.7")

#endif
