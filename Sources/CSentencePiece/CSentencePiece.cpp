#include "CSentencePiece.h"

#ifdef CLIP_SEARCH_SENTENCEPIECE

#include <sentencepiece_processor.h>

#include <algorithm>
#include <string>
#include <vector>

struct csp_model {
    sentencepiece::SentencePieceProcessor processor;
};

bool csp_available(void) { return true; }

csp_model *csp_open(const void *bytes, size_t count) {
    try {
        auto *model = new csp_model;
        auto view = absl::string_view(static_cast<const char *>(bytes), count);
        if (model->processor.LoadFromSerializedProto(view).ok()) return model;
        delete model;
    } catch (...) {
    }
    return nullptr;
}

void csp_close(csp_model *model) { delete model; }

int32_t csp_size(const csp_model *model) { return model->processor.GetPieceSize(); }

const char *csp_piece(const csp_model *model, int32_t id, size_t *count) {
    if (id < 0 || id >= csp_size(model)) return nullptr;
    const std::string &piece = model->processor.IdToPiece(id);
    *count = piece.size();
    return piece.data();
}

int32_t csp_id(const csp_model *model, const char *piece, size_t count) {
    int id = model->processor.PieceToId(absl::string_view(piece, count));
    if (id < 0 || id >= csp_size(model)) return -1;
    // What is not in the vocabulary has the unknown piece's id.
    const std::string &found = model->processor.IdToPiece(id);
    return found.compare(0, std::string::npos, piece, count) == 0 ? id : -1;
}

ptrdiff_t csp_encode(const csp_model *model, const char *text, size_t count, int32_t *ids,
                     size_t capacity) {
    try {
        std::vector<int> all;
        auto view = absl::string_view(count > 0 ? text : "", count);
        if (!model->processor.Encode(view, &all).ok()) return -1;
        std::copy_n(all.begin(), std::min(all.size(), capacity), ids);
        return static_cast<ptrdiff_t>(all.size());
    } catch (...) {
        return -1;
    }
}

#else

struct csp_model {};
bool csp_available(void) { return false; }
csp_model *csp_open(const void *, size_t) { return nullptr; }
void csp_close(csp_model *) {}
int32_t csp_size(const csp_model *) { return 0; }
const char *csp_piece(const csp_model *, int32_t, size_t *) { return nullptr; }
int32_t csp_id(const csp_model *, const char *, size_t) { return -1; }
ptrdiff_t csp_encode(const csp_model *, const char *, size_t, int32_t *, size_t) { return -1; }

#endif
