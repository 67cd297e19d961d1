// Matrices for the kernels of FloatTile.inc.
#pragma once

#include <stddef.h>

static inline ptrdiff_t rounded_up(ptrdiff_t count, ptrdiff_t multiple) {
    return (count + multiple - 1) / multiple * multiple;
}

// Slices of rows side by side: [slices, inputs, slice], zeros after the last row.
// from: [rows, inputs], `stride` elements between rows  slice: a multiple of 4
void pack_slices(const float *from, ptrdiff_t stride, ptrdiff_t rows, ptrdiff_t inputs,
                 ptrdiff_t slice, float *to);
