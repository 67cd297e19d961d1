#include "CImages.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

enum { first_capacity = 64 << 10 };

// On the heap: what lives across a longjmp must not sit in registers.
struct encoder {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr target;
    jmp_buf failed;
    uint8_t *bytes;  // [capacity]
    size_t capacity;
    size_t max_count;
};

static void error_exit(j_common_ptr jpeg) {
    struct encoder *encoder = jpeg->client_data;
    longjmp(encoder->failed, 1);
}

static void ignore_message(j_common_ptr jpeg) {
    (void)jpeg;  // never on stderr
}

// The file is written here rather than by libjpeg's jpeg_mem_dest, whose buffer is unknown to the
// caller between growing and jpeg_finish_compress: an error then would free it twice or never.
static void start_or_finish(j_compress_ptr jpeg) {
    (void)jpeg;
}

static boolean grow_target(j_compress_ptr jpeg) {
    struct encoder *encoder = jpeg->client_data;
    size_t filled = encoder->capacity;  // libjpeg calls this when the buffer is full
    size_t left = encoder->max_count - filled;
    size_t added = filled == 0 ? first_capacity : filled;
    if (added > left)
        added = left;
    uint8_t *grown = added == 0 ? NULL : realloc(encoder->bytes, filled + added);
    if (!grown)
        longjmp(encoder->failed, 1);
    encoder->bytes = grown;
    encoder->capacity = filled + added;
    encoder->target.next_output_byte = grown + filled;
    encoder->target.free_in_buffer = added;
    return TRUE;
}

int cjpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int components, int quality,
                 const uint8_t *profile, size_t profile_count, size_t max_count, uint8_t **bytes,
                 size_t *count) {
    struct encoder *encoder = calloc(1, sizeof *encoder);
    if (!encoder)
        return 0;
    struct jpeg_compress_struct *jpeg = &encoder->jpeg;
    jpeg->err = jpeg_std_error(&encoder->errors);
    jpeg->client_data = encoder;
    encoder->errors.error_exit = error_exit;
    encoder->errors.output_message = ignore_message;
    // libjpeg asks for more as soon as the buffer is full.
    encoder->max_count = max_count < SIZE_MAX ? max_count + 1 : max_count;

    volatile int done = 0;
    if (!setjmp(encoder->failed)) {
        jpeg_create_compress(jpeg);
        jpeg->client_data = encoder;
        jpeg->mem->max_memory_to_use = 0;  // overrides the variable JPEGMEM
        jpeg->dest = &encoder->target;
        encoder->target.init_destination = start_or_finish;
        encoder->target.empty_output_buffer = grow_target;
        encoder->target.term_destination = start_or_finish;
        grow_target(jpeg);
        jpeg->image_width = width;
        jpeg->image_height = height;
        jpeg->input_components = components;
        jpeg->in_color_space = components == 1 ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_set_defaults(jpeg);
        jpeg_set_quality(jpeg, quality, TRUE);
        jpeg->optimize_coding = TRUE;
        // A small image takes twice as long to write in scans, and is hardly smaller for it.
        if ((uint64_t)width * height > 500000)
            jpeg_simple_progression(jpeg);
        jpeg_start_compress(jpeg, TRUE);
        if (profile_count > 0)
            jpeg_write_icc_profile(jpeg, profile, (unsigned int)profile_count);
        size_t stride = (size_t)width * (size_t)components;
        while (jpeg->next_scanline < jpeg->image_height) {
            JSAMPROW row = (JSAMPROW)(pixels + stride * jpeg->next_scanline);
            jpeg_write_scanlines(jpeg, &row, 1);
        }
        jpeg_finish_compress(jpeg);
        done = 1;
    }
    jpeg_destroy_compress(jpeg);
    if (done) {
        *bytes = encoder->bytes;
        *count = encoder->capacity - encoder->target.free_in_buffer;
    } else {
        free(encoder->bytes);
    }
    free(encoder);
    return done;
}
