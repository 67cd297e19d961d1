#pragma once

// What a linear layer does with y = x Wᵀ + bias.
enum ck_epilogue {
    CK_STORE,             // out = y
    CK_ADD,               // out += y
    CK_APPLY_QUICK_GELU,  // out = quick_gelu(y)
    CK_APPLY_GELU,        // out = gelu(y)
    CK_APPLY_GELU_TANH,   // out = gelu_tanh(y)
};
