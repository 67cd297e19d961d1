// The inner product of Int8.c, written once for each instruction set.
#pragma once

#include "CKernels.h"

enum { INT8_TILE_ROWS = 6 };

struct int8_tile {
    // Rows that `sums` takes at most, not above INT8_TILE_ROWS.
    ptrdiff_t rows;
    // sums[r, o] = Σ q w.
    // q: `stride` bytes between rows  panel: [groups, CK_INT8_PANEL, 4]
    // sums: [rows, CK_INT8_PANEL], 64-byte aligned
    void (*sums)(const uint8_t *q, ptrdiff_t stride, ptrdiff_t rows, const int8_t *panel,
                 ptrdiff_t groups, int32_t *sums);
};

// The tile for an instruction set; for CK_INT8_BEST the fastest that the machine has.
struct int8_tile int8_tile_for(enum ck_int8_isa isa);
