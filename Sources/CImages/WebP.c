#include "CImages.h"

#include <webp/decode.h>
#include <webp/demux.h>
#include <webp/encode.h>

// The first frame of a file that is there as a whole; the demuxer points into `bytes`.
static cimages_status first_frame(const uint8_t *bytes, size_t count, WebPDemuxer **demuxer,
                                WebPIterator *frame) {
    const WebPData data = {bytes, count};
    WebPDemuxState state;
    *demuxer = WebPDemuxPartial(&data, &state);
    if (state == WEBP_DEMUX_PARSE_ERROR) {
        WebPDemuxDelete(*demuxer);
        return CIMAGES_CORRUPT;
    }
    if (!*demuxer)
        return state == WEBP_DEMUX_PARSING_HEADER ? CIMAGES_TRUNCATED : CIMAGES_NO_MEMORY;
    cimages_status status = CIMAGES_OK;
    if (state != WEBP_DEMUX_DONE)
        status = CIMAGES_TRUNCATED;
    else if (!WebPDemuxGetFrame(*demuxer, 1, frame))
        status = CIMAGES_CORRUPT;
    if (status != CIMAGES_OK)
        WebPDemuxDelete(*demuxer);
    return status;
}

cimages_status cwebp_read_header(const uint8_t *bytes, size_t count, cwebp_header *header) {
    WebPDemuxer *demuxer;
    WebPIterator frame = {0};
    cimages_status status = first_frame(bytes, count, &demuxer, &frame);
    if (status != CIMAGES_OK)
        return status;
    WebPBitstreamFeatures file, first;
    // Whether there is alpha is what the file says at its beginning, not the frame.
    header->has_alpha = WebPGetFeatures(bytes, count, &file) != VP8_STATUS_OK || file.has_alpha;
    if (WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &first) != VP8_STATUS_OK)
        status = CIMAGES_CORRUPT;
    header->is_lossless = first.format == 2;
    header->width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    header->height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    header->left = (uint32_t)frame.x_offset;
    header->top = (uint32_t)frame.y_offset;
    header->frame_width = (uint32_t)frame.width;
    header->frame_height = (uint32_t)frame.height;
    if (frame.x_offset < 0 || frame.y_offset < 0 || frame.width < 1 || frame.height < 1
        || header->left > header->width || header->top > header->height
        || header->frame_width > header->width - header->left
        || header->frame_height > header->height - header->top)
        status = CIMAGES_CORRUPT;
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demuxer);
    return status;
}

cimages_status cwebp_read_pixels(const uint8_t *bytes, size_t count, const cwebp_header *header,
                               int channels, uint8_t *canvas) {
    WebPDemuxer *demuxer;
    WebPIterator frame = {0};
    cimages_status status = first_frame(bytes, count, &demuxer, &frame);
    if (status != CIMAGES_OK)
        return status;
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) {
        status = CIMAGES_CORRUPT;
    } else {
        size_t stride = (size_t)header->width * (size_t)channels;
        size_t offset = stride * header->top + (size_t)header->left * (size_t)channels;
        config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
        config.output.is_external_memory = 1;
        config.output.u.RGBA.rgba = canvas + offset;
        config.output.u.RGBA.stride = (int)stride;
        config.output.u.RGBA.size = stride * header->height - offset;
        switch (WebPDecode(frame.fragment.bytes, frame.fragment.size, &config)) {
        case VP8_STATUS_OK: break;
        case VP8_STATUS_OUT_OF_MEMORY: status = CIMAGES_NO_MEMORY; break;
        case VP8_STATUS_NOT_ENOUGH_DATA: status = CIMAGES_TRUNCATED; break;
        default: status = CIMAGES_CORRUPT; break;
        }
        WebPFreeDecBuffer(&config.output);
    }
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demuxer);
    return status;
}

uint8_t *cwebp_encode(const uint8_t *rgba, int width, int height, float quality, size_t *size) {
    uint8_t *memory = NULL;
    *size = WebPEncodeRGBA(rgba, width, height, 4 * width, quality, &memory);
    if (*size > 0)
        return memory;
    WebPFree(memory);
    return NULL;
}

void cwebp_free(uint8_t *memory) {
    WebPFree(memory);
}
