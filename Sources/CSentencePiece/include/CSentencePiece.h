// SentencePiece's processor for Swift. A model is immutable once open: threads may share it.
#ifndef CSENTENCEPIECE_H
#define CSENTENCEPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct csp_model csp_model;

// Whether the program was built with SentencePiece; without it, csp_open gives NULL.
bool csp_available(void);

// Opens a serialized ModelProto; NULL if it is damaged.
csp_model *csp_open(const void *bytes, size_t count);
void csp_close(csp_model *model);

int32_t csp_size(const csp_model *model);

// A piece's UTF-8, valid as long as the model; NULL if there is no such id.
const char *csp_piece(const csp_model *model, int32_t id, size_t *count);

// The id of a piece, or -1.
int32_t csp_id(const csp_model *model, const char *piece, size_t count);

// The ids of a text. Writes at most `capacity` of them; gives how many there are, or -1 on failure.
ptrdiff_t csp_encode(const csp_model *model, const char *text, size_t count, int32_t *ids,
                     size_t capacity);

#ifdef __cplusplus
}
#endif
#endif
