#include "CImages.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>
#include <zlib.h>

enum { line_padding = 64 };

struct cpng_decoder {
    png_structp png;
    png_infop info;
    jmp_buf failed;

    const uint8_t *bytes;
    size_t count;
    size_t offset;       // of the first byte that libpng has not read
    size_t next_chunk;   // offset

    size_t line_bytes;
    uint8_t *line;       // one line; of an interlaced picture all of them
    uint32_t next_line;
    uint32_t height;
    int is_interlaced;

    cimages_status status;  // why failed was jumped to
    char message[160];
};

// MARK: What libpng calls

static void fail(cpng_decoder *decoder, cimages_status status) {
    decoder->status = status;
    longjmp(decoder->failed, 1);
}

static void on_error(png_structp png, png_const_charp text) {
    cpng_decoder *decoder = png_get_error_ptr(png);
    snprintf(decoder->message, sizeof decoder->message, "%s", text);
    fail(decoder, strcmp(text, "Out of memory") == 0 ? CIMAGES_NO_MEMORY : CIMAGES_CORRUPT);
}

// A warning is something odd that libpng has a defined way around.
static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

enum { colour_type_offset = 25, around_data = 12 };

// Bytes of the chunk at an offset, or 0 when it is cut.
static size_t chunk_size(const cpng_decoder *decoder, size_t offset) {
    size_t left = decoder->count - offset;
    size_t length = left >= around_data ? big_endian(decoder->bytes + offset) : left;
    return left >= around_data && length <= left - around_data ? length + around_data : 0;
}

// Whether another palette follows a chunk, before the data.
static int has_later_palette(const cpng_decoder *decoder, size_t offset) {
    size_t size;
    while ((size = chunk_size(decoder, offset)) > 0) {
        offset += size;
        if (decoder->count - offset < 8 || memcmp(decoder->bytes + offset + 4, "IDAT", 4) == 0)
            return 0;
        if (memcmp(decoder->bytes + offset + 4, "PLTE", 4) == 0)
            return 1;
    }
    return 0;
}

// Passes over palettes that Pillow does not use: of pictures without one all, of others all but the last.
// libpng fails at an empty or second one.
static void skip_unused_palettes(cpng_decoder *decoder) {
    int uses_palette = decoder->bytes[colour_type_offset] == PNG_COLOR_TYPE_PALETTE;
    size_t size;
    while ((size = chunk_size(decoder, decoder->offset)) > 0) {
        const uint8_t *chunk = decoder->bytes + decoder->offset;
        if (memcmp(chunk + 4, "PLTE", 4) != 0
            || crc32(0, chunk + 4, (uInt)(size - 8)) != big_endian(chunk + size - 4)
            || (uses_palette && !has_later_palette(decoder, decoder->offset)))
            break;
        decoder->offset += size;
    }
}

static void on_read(png_structp png, png_bytep target, size_t size) {
    cpng_decoder *decoder = png_get_io_ptr(png);
    enum { header_end = 33 };
    if (size == 8 && decoder->offset == decoder->next_chunk) {
        if (decoder->offset >= header_end)
            skip_unused_palettes(decoder);
        if (decoder->count - decoder->offset >= 8)
            decoder->next_chunk = decoder->offset + big_endian(decoder->bytes + decoder->offset) + 12;
    }
    size_t left = decoder->count - decoder->offset;
    // A picture may end before its data's checksum (the only thing of 4 bytes after them), as for
    // Pillow.
    if (size > left && size > 4)
        fail(decoder, CIMAGES_TRUNCATED);
    memset(target, 0, size);
    if (size > left)
        size = left;
    memcpy(target, decoder->bytes + decoder->offset, size);
    decoder->offset += size;
}

// MARK: Entry points

cpng_decoder *cpng_create(const uint8_t *bytes, size_t count) {
    cpng_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return NULL;
    decoder->bytes = bytes;
    decoder->count = count;
    decoder->next_chunk = 8;  // after the signature
    return decoder;
}

void cpng_destroy(cpng_decoder *decoder) {
    if (!decoder)
        return;
    png_destroy_read_struct(&decoder->png, &decoder->info, NULL);
    free(decoder->line);
    free(decoder);
}

const char *cpng_message(const cpng_decoder *decoder) {
    return decoder->message;
}

cimages_status cpng_read_header(cpng_decoder *decoder, cpng_header *header) {
    if (setjmp(decoder->failed))
        return decoder->status;
    decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, on_error, on_warning);
    if (!decoder->png)
        return CIMAGES_NO_MEMORY;
    decoder->info = png_create_info_struct(decoder->png);
    if (!decoder->info)
        return CIMAGES_NO_MEMORY;
    png_structp png = decoder->png;
    png_set_read_fn(png, decoder, on_read);
    // The caller decides about sizes, knowing what will be held in memory.
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    // No gamma, profile or text is wanted, so none is parsed or inflated; their checksums count.
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_read_info(png, decoder->info);
    // Pillow checks the chunks before the data and no others.
    png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);

    memset(header, 0, sizeof *header);
    header->width = png_get_image_width(png, decoder->info);
    header->height = png_get_image_height(png, decoder->info);
    header->bit_depth = png_get_bit_depth(png, decoder->info);
    header->channels = png_get_channels(png, decoder->info);
    header->has_palette = png_get_color_type(png, decoder->info) == PNG_COLOR_TYPE_PALETTE;
    header->is_interlaced =
        png_get_interlace_type(png, decoder->info) != PNG_INTERLACE_NONE;
    png_colorp colors;
    int count = 0;
    if (header->has_palette && png_get_PLTE(png, decoder->info, &colors, &count)) {
        for (int i = 0; i < count && i < 256; i++) {
            header->palette[i * 3] = colors[i].red;
            header->palette[i * 3 + 1] = colors[i].green;
            header->palette[i * 3 + 2] = colors[i].blue;
        }
    }
    decoder->height = header->height;
    decoder->is_interlaced = header->is_interlaced;
    return CIMAGES_OK;
}

cimages_status cpng_start(cpng_decoder *decoder) {
    if (setjmp(decoder->failed))
        return decoder->status;
    png_structp png = decoder->png;
    int color = png_get_color_type(png, decoder->info);
    int depth = png_get_bit_depth(png, decoder->info);
    if (color == PNG_COLOR_TYPE_PALETTE)
        png_set_packing(png);
    else if (depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    else if (depth == 16 && color == PNG_COLOR_TYPE_GRAY)
        png_set_swap(png);
    else if (depth == 16)
        png_set_strip_16(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, decoder->info);

    decoder->line_bytes = png_get_rowbytes(png, decoder->info);
    size_t lines = decoder->is_interlaced ? decoder->height : 1;
    if (decoder->line_bytes > (SIZE_MAX - line_padding) / lines)
        return CIMAGES_NO_MEMORY;
    // Zeros, because an interlaced picture comes into being over what was there.
    decoder->line = calloc(1, decoder->line_bytes * lines + line_padding);
    if (!decoder->line)
        return CIMAGES_NO_MEMORY;
    if (decoder->is_interlaced) {
        for (int pass = 0; pass < passes; pass++) {
            for (size_t line = 0; line < lines; line++)
                png_read_row(png, decoder->line + line * decoder->line_bytes, NULL);
        }
    }
    return CIMAGES_OK;
}

cimages_status cpng_read_line(cpng_decoder *decoder, const uint8_t **line) {
    if (setjmp(decoder->failed))
        return decoder->status;
    if (decoder->is_interlaced) {
        *line = decoder->line + decoder->next_line * decoder->line_bytes;
    } else {
        png_read_row(decoder->png, decoder->line, NULL);
        *line = decoder->line;
    }
    decoder->next_line++;
    return CIMAGES_OK;
}
