#include "CImages.h"

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
    cjpeg_request request;
    int saving;           // as requested, where it is possible; until all pixels are there
    uint8_t *line;        // what libjpeg writes a line into
    size_t line_offset;   // bytes from there to the first wanted sample
    cimages_status status;  // why failed was jumped to
    char message[JMSG_LENGTH_MAX];
};

// MARK: What libjpeg calls

static cjpeg_decoder *owner(j_common_ptr jpeg) {
    return jpeg->client_data;
}

static void fail(cjpeg_decoder *decoder, cimages_status status) {
    decoder->status = status;
    longjmp(decoder->failed, 1);
}

static void error_exit(j_common_ptr jpeg) {
    cjpeg_decoder *decoder = owner(jpeg);
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        fail(decoder, CIMAGES_NO_MEMORY);
        break;
    case JERR_NO_BACKING_STORE:  // beyond max_memory_to_use
        fail(decoder, CIMAGES_TOO_MUCH_MEMORY);
        break;
    case JERR_CANT_SUSPEND:  // only arithmetic decoding says so, and it is shown all bytes at once
        fail(decoder, CIMAGES_TRUNCATED);
        break;
    default:
        jpeg->err->format_message(jpeg, decoder->message);
        fail(decoder, CIMAGES_CORRUPT);
    }
}

static void output_message(j_common_ptr jpeg) {
    (void)jpeg;  // never on stderr
}

// A warning is damage that libjpeg has a defined way around. Pillow accepts the result, but it may
// depend on what has been saved.
static void emit_message(j_common_ptr jpeg, int level) {
    if (level >= 0)
        return;
    jpeg->err->num_warnings++;
    if (owner(jpeg)->saving)
        fail(owner(jpeg), CIMAGES_DAMAGED);
}

static void no_operation(j_decompress_ptr jpeg) {
    (void)jpeg;
}

static boolean fill_input_buffer(j_decompress_ptr jpeg) {
    cjpeg_decoder *decoder = owner((j_common_ptr)jpeg);
    if (decoder->saving)  // jpeg_skip_scanlines cannot suspend; all bytes have been shown
        fail(decoder, CIMAGES_DAMAGED);
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
    if (decoder->jpeg.input_scan_number > decoder->request.max_scans)
        fail(decoder, CIMAGES_TOO_MANY_SCANS);
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
    free(decoder->line);
    free(decoder);
}

const char *cjpeg_message(const cjpeg_decoder *decoder) {
    return decoder->message;
}

cimages_status cjpeg_read_header(cjpeg_decoder *decoder, cjpeg_header *header) {
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
            return CIMAGES_TRUNCATED;
    }
    header->width = jpeg->image_width;
    header->height = jpeg->image_height;
    header->components = jpeg->num_components;
    return CIMAGES_OK;
}

// Whether a part of the picture is known to come out as it does in the whole: Huffman-coded,
// sequential (what a progressive picture lacks is smoothed over) and with chroma of full or half
// resolution, which is what cameras and most encoders write.
static int can_save(const struct jpeg_decompress_struct *jpeg) {
    if (jpeg->arith_code || jpeg->progressive_mode)
        return 0;
    if (jpeg->num_components == 1)
        return 1;
    if (jpeg->num_components != 3)
        return 0;
    const jpeg_component_info *luma = &jpeg->comp_info[0];
    for (int i = 1; i < 3; i++) {
        const jpeg_component_info *chroma = &jpeg->comp_info[i];
        if (chroma->h_samp_factor != 1 || chroma->v_samp_factor != 1)
            return 0;
    }
    return (luma->h_samp_factor == 1 && luma->v_samp_factor == 1)
        || (luma->h_samp_factor == 2 && luma->v_samp_factor <= 2);
}

// Next line of the picture into decoder->line.
static cimages_status read_line(cjpeg_decoder *decoder) {
    JSAMPROW row = decoder->line;
    while (jpeg_read_scanlines(&decoder->jpeg, &row, 1) != 1) {
        if (!show_more(decoder))
            return CIMAGES_TRUNCATED;
    }
    return CIMAGES_OK;
}

// Goes on to a line, at the cost of entropy decoding alone where that can be had. Upsampling looks at
// the neighbours of a line, so the last ones before it are decoded.
static cimages_status go_to_line(cjpeg_decoder *decoder, JDIMENSION line) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    const JDIMENSION margin = 2 * DCTSIZE;
    if (decoder->saving && line > jpeg->output_scanline + 2 * margin)
        jpeg_skip_scanlines(jpeg, line - margin - jpeg->output_scanline);
    while (jpeg->output_scanline < line) {
        cimages_status status = read_line(decoder);
        if (status != CIMAGES_OK)
            return status;
    }
    return CIMAGES_OK;
}

cimages_status cjpeg_start(cjpeg_decoder *decoder, const cjpeg_request *request) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    if (setjmp(decoder->failed))
        return decoder->status;

    decoder->request = *request;
    decoder->progress.progress_monitor = progress_monitor;
    jpeg->progress = &decoder->progress;
    // Overrides the variable JPEGMEM. Zero would mean no limit.
    jpeg->mem->max_memory_to_use = request->max_memory > 0 ? (long)request->max_memory : 1;

    switch (jpeg->num_components) {
    case 1: jpeg->out_color_space = JCS_GRAYSCALE; break;
    case 3: jpeg->out_color_space = JCS_RGB; break;
    default: jpeg->out_color_space = JCS_CMYK; break;
    }
    // Pillow keeps libjpeg's defaults for these; they are named because they decide the pixels.
    jpeg->dct_method = JDCT_ISLOW;
    jpeg->do_fancy_upsampling = TRUE;
    jpeg->do_block_smoothing = TRUE;

    jpeg->scale_num = 1;
    jpeg->scale_denom = request->scale;

    decoder->saving = request->saving && request->scale == 1 && jpeg->err->num_warnings == 0 && can_save(jpeg);
    // libjpeg's arithmetic decoder cannot suspend either.
    if (jpeg->arith_code || decoder->saving)
        show(decoder, decoder->count);

    while (!jpeg_start_decompress(jpeg)) {
        if (!show_more(decoder))
            return CIMAGES_TRUNCATED;
    }
    JDIMENSION first = 0;
    if (decoder->saving) {
        // Upsampling treats the edge of a part as that of the picture: so more than is wanted.
        const JDIMENSION margin = 2 * DCTSIZE;
        first = request->left > margin ? request->left - margin : 0;
        JDIMENSION end = request->right;
        end = jpeg->output_width - end > margin ? end + margin : jpeg->output_width;
        JDIMENSION width = end - first;
        if (width < jpeg->output_width)
            jpeg_crop_scanline(jpeg, &first, &width);
    }
    size_t components = (size_t)jpeg->output_components;
    decoder->line_offset = (request->left - first) * components;
    decoder->line = malloc(jpeg->output_width * components + 64);
    if (!decoder->line)
        return CIMAGES_NO_MEMORY;
    memset(decoder->line + jpeg->output_width * components, 0, 64);
    return go_to_line(decoder, request->top);
}

cimages_status cjpeg_read_line(cjpeg_decoder *decoder, const uint8_t **line) {
    if (setjmp(decoder->failed))
        return decoder->status;
    cimages_status status = read_line(decoder);
    uint8_t *start = decoder->line + decoder->line_offset;
    if (decoder->jpeg.output_components == 4) {
        size_t count = 4 * (size_t)(decoder->request.right - decoder->request.left);
        for (size_t i = 0; i < count; i++) start[i] = (uint8_t)~start[i];
    }
    *line = start;
    return status;
}

cimages_status cjpeg_finish(cjpeg_decoder *decoder) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    if (setjmp(decoder->failed))
        return decoder->status;
    // The last line too: skipping to the end would not even look whether the rest is there.
    if (jpeg->output_height - jpeg->output_scanline > 1) {
        cimages_status status = go_to_line(decoder, jpeg->output_height - 1);
        if (status != CIMAGES_OK)
            return status;
    }
    while (jpeg->output_scanline < jpeg->output_height) {
        cimages_status status = read_line(decoder);
        if (status != CIMAGES_OK)
            return status;
    }
    // All pixels are there. A missing end-of-image marker is forgiven, as by Pillow; damage between
    // here and that marker is an error, again as by Pillow.
    decoder->saving = 0;
    jpeg_finish_decompress(jpeg);
    return CIMAGES_OK;
}
