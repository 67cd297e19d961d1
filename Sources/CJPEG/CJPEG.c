#include "CJPEG.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

// libjpeg sees the bytes through a window that starts small and grows each time it runs dry. The
// step is that of Pillow's file reader: what libjpeg does with damaged data may depend on where
// its input was cut, so the cuts are kept where Pillow has them.
enum { window_step = 65536 };

struct cjpeg_decoder {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;

    const uint8_t *bytes;
    size_t count;
    size_t window_end;    // offset of the first byte that libjpeg has not been shown
    size_t skip;          // bytes still to be skipped when the window has grown
    int max_scans;
    cjpeg_status status;  // why failed was jumped to
    char message[JMSG_LENGTH_MAX];
};

// MARK: What libjpeg calls

static cjpeg_decoder *owner(j_common_ptr jpeg) {
    return jpeg->client_data;
}

static void fail(cjpeg_decoder *decoder, cjpeg_status status) {
    decoder->status = status;
    longjmp(decoder->failed, 1);
}

static void error_exit(j_common_ptr jpeg) {
    cjpeg_decoder *decoder = owner(jpeg);
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
        fail(decoder, CJPEG_NO_MEMORY);
        break;
    case JERR_CANT_SUSPEND:  // only arithmetic decoding says so, and it is shown all bytes at once
        fail(decoder, CJPEG_TRUNCATED);
        break;
    default:
        jpeg->err->format_message(jpeg, decoder->message);
        fail(decoder, CJPEG_CORRUPT);
    }
}

static void output_message(j_common_ptr jpeg) {
    (void)jpeg;  // never on stderr
}

// A warning is damage that libjpeg has a defined way around. Pillow accepts the result.
static void emit_message(j_common_ptr jpeg, int level) {
    if (level < 0)
        jpeg->err->num_warnings++;
}

static void no_operation(j_decompress_ptr jpeg) {
    (void)jpeg;
}

static boolean fill_input_buffer(j_decompress_ptr jpeg) {
    (void)jpeg;
    return FALSE;  // suspend; the caller grows the window and calls again
}

static void skip_input_data(j_decompress_ptr jpeg, long count) {
    cjpeg_decoder *decoder = owner((j_common_ptr)jpeg);
    if (count <= 0)
        return;
    size_t step = (size_t)count;
    size_t available = decoder->source.bytes_in_buffer;
    if (step > available) {
        decoder->skip = step - available;
        step = available;
    }
    decoder->source.next_input_byte += step;
    decoder->source.bytes_in_buffer -= step;
}

// Called at least once for every row of MCUs of every scan.
static void progress_monitor(j_common_ptr jpeg) {
    cjpeg_decoder *decoder = owner(jpeg);
    if (decoder->jpeg.input_scan_number > decoder->max_scans)
        fail(decoder, CJPEG_TOO_MANY_SCANS);
}

// MARK: The window

// Shows libjpeg the bytes up to `end`. What it has not consumed comes again before them.
static void show(cjpeg_decoder *decoder, size_t end) {
    if (end > decoder->count)
        end = decoder->count;
    decoder->source.bytes_in_buffer += end - decoder->window_end;
    decoder->window_end = end;
    size_t pending = decoder->skip;
    decoder->skip = 0;
    if (pending > 0)
        skip_input_data(&decoder->jpeg, (long)pending);
}

// After a suspension: false when there is nothing left to show.
static int show_more(cjpeg_decoder *decoder) {
    do {
        if (decoder->window_end == decoder->count)
            return 0;
        size_t left = decoder->count - decoder->window_end;
        show(decoder, decoder->window_end + (left < window_step ? left : window_step));
    } while (decoder->skip > 0);
    return 1;
}

// MARK: Entry points

cjpeg_decoder *cjpeg_create(const uint8_t *bytes, size_t count) {
    cjpeg_decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder)
        return NULL;
    decoder->bytes = bytes;
    decoder->count = count;
    decoder->jpeg.err = jpeg_std_error(&decoder->errors);
    decoder->jpeg.client_data = decoder;
    decoder->errors.error_exit = error_exit;
    decoder->errors.output_message = output_message;
    decoder->errors.emit_message = emit_message;
    return decoder;
}

void cjpeg_destroy(cjpeg_decoder *decoder) {
    if (!decoder)
        return;
    jpeg_destroy_decompress(&decoder->jpeg);  // harmless before jpeg_create_decompress
    free(decoder);
}

const char *cjpeg_message(const cjpeg_decoder *decoder) {
    return decoder->message;
}

cjpeg_status cjpeg_read_header(cjpeg_decoder *decoder, cjpeg_header *header) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    if (setjmp(decoder->failed))
        return decoder->status;

    jpeg_create_decompress(jpeg);
    jpeg->src = &decoder->source;
    decoder->source.init_source = no_operation;
    decoder->source.fill_input_buffer = fill_input_buffer;
    decoder->source.skip_input_data = skip_input_data;
    decoder->source.resync_to_restart = jpeg_resync_to_restart;
    decoder->source.term_source = no_operation;
    decoder->source.next_input_byte = decoder->bytes;
    decoder->source.bytes_in_buffer = 0;
    show(decoder, window_step);

    // Tables may come as a stream of their own, before that of the picture.
    int found;
    while ((found = jpeg_read_header(jpeg, FALSE)) != JPEG_HEADER_OK) {
        if (found == JPEG_SUSPENDED && !show_more(decoder))
            return CJPEG_TRUNCATED;
    }
    header->width = jpeg->image_width;
    header->height = jpeg->image_height;
    header->components = jpeg->num_components;
    return CJPEG_OK;
}

cjpeg_status cjpeg_read_pixels(cjpeg_decoder *decoder, int max_scans, uint8_t *pixels) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    if (setjmp(decoder->failed))
        return decoder->status;

    decoder->max_scans = max_scans;
    decoder->progress.progress_monitor = progress_monitor;
    jpeg->progress = &decoder->progress;
    jpeg->mem->max_memory_to_use = 0;  // whatever the variable JPEGMEM says

    switch (jpeg->num_components) {
    case 1: jpeg->out_color_space = JCS_GRAYSCALE; break;
    case 3: jpeg->out_color_space = JCS_RGB; break;
    default: jpeg->out_color_space = JCS_CMYK; break;
    }
    // Pillow keeps libjpeg's defaults for these; they are named because they decide the pixels.
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    jpeg->do_block_smoothing = TRUE;

    if (jpeg->arith_code)  // libjpeg's arithmetic decoder cannot suspend
        show(decoder, decoder->count);

    while (!jpeg_start_decompress(jpeg)) {
        if (!show_more(decoder))
            return CJPEG_TRUNCATED;
    }
    size_t stride = (size_t)jpeg->output_width * (size_t)jpeg->output_components;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = pixels + stride * jpeg->output_scanline;
        if (jpeg_read_scanlines(jpeg, &row, 1) != 1 && !show_more(decoder))
            return CJPEG_TRUNCATED;
    }
    // All pixels are there. A missing end-of-image marker is forgiven, as by Pillow; damage between
    // here and that marker is an error, again as by Pillow.
    jpeg_finish_decompress(jpeg);
    return CJPEG_OK;
}
