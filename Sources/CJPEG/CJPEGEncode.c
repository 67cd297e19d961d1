#include "CJPEG.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

struct encoder {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
};

static void error_exit(j_common_ptr jpeg) {
    struct encoder *encoder = jpeg->client_data;
    longjmp(encoder->failed, 1);
}

static void ignore_message(j_common_ptr jpeg) {
    (void)jpeg;  // never on stderr
}

static void ignore_warning(j_common_ptr jpeg, int level) {
    (void)jpeg;
    (void)level;
}

int cjpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int components, int quality,
                 const uint8_t *profile, size_t profile_count, uint8_t **bytes, size_t *count) {
    // On the heap: what lives across a longjmp must not sit in registers.
    struct encoder *encoder = calloc(1, sizeof *encoder);
    unsigned char **buffer = calloc(1, sizeof *buffer);
    unsigned long *size = calloc(1, sizeof *size);
    if (!encoder || !buffer || !size) {
        free(encoder);
        free(buffer);
        free(size);
        return 0;
    }
    struct jpeg_compress_struct *jpeg = &encoder->jpeg;
    jpeg->err = jpeg_std_error(&encoder->errors);
    jpeg->client_data = encoder;
    encoder->errors.error_exit = error_exit;
    encoder->errors.output_message = ignore_message;
    encoder->errors.emit_message = ignore_warning;

    volatile int done = 0;
    if (!setjmp(encoder->failed)) {
        jpeg_create_compress(jpeg);
        jpeg->client_data = encoder;
        jpeg->mem->max_memory_to_use = 0;  // whatever the variable JPEGMEM says
        jpeg_mem_dest(jpeg, buffer, size);
        jpeg->image_width = width;
        jpeg->image_height = height;
        jpeg->input_components = components;
        jpeg->in_color_space = components == 1 ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_set_defaults(jpeg);
        jpeg_set_quality(jpeg, quality, TRUE);
        jpeg->optimize_coding = TRUE;
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
        *bytes = *buffer;
        *count = *size;
    } else {
        free(*buffer);
    }
    free(size);
    free(buffer);
    free(encoder);
    return done;
}
