// The inner product of Int8.c, written once for each instruction set.
#pragma once

#include "CKernels.h"

enum { INT8_TILE_ROWS = 6 };

// Activations are kept as
// - planes of 8 bits, with which processors multiply four or eight at a time: a row's upper bytes, `stride` of
//   them, then its lower bytes; without 16 bits only the first; or
// - 16 bits, with which they multiply two at a time, signed: q, or of 16 bits q − 32768.
//
// Weights are kept in slices of outputs, each [groups, slice, group]: the inputs of a group side by side.
struct int8_tile {
    // Rows that `sums` takes at most, up to INT8_TILE_ROWS.
    ptrdiff_t rows;
    // Outputs of a slice, a divisor of CK_INT8_PANEL.
    ptrdiff_t slice;
    // Inputs of a group.
    ptrdiff_t group;
    // Whether weights and activations have 16 bits.
    bool has_words;
    // 256 · sums[r, o] + low[r, o] = Σ q w for wide rows; else sums[r, o] = Σ q w, and low is not used.
    // x: rows of `stride` elements  weights: a slice
    // sums, low: [rows, CK_INT8_PANEL] of which the first `slice` columns are written
    void (*sums)(const void *x, ptrdiff_t stride, ptrdiff_t rows, const void *weights,
                 ptrdiff_t groups, bool wide, int32_t *sums, int32_t *low);
};

struct int8_tile int8_tile_for(enum ck_isa isa, enum ck_int8_kind kind);
