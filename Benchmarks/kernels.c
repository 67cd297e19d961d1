// How fast the kernels are by themselves, on one thread, with each instruction set that the processor has:
//
//   clang -O2 -ISources/CKernels/include Benchmarks/kernels.c Sources/CKernels/*.c -lm -o /tmp/kernels && /tmp/kernels
//
// Times are the thread's own processor time, the best of several runs, so that other work disturbs little.
#include "CKernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *memory(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

static float *floats(size_t count) {
    float *x = memory(4 * count);
    for (size_t i = 0; i < count; i++) x[i] = (float)(rand() % 2001 - 1000) / 1000;
    return x;
}

enum { ROWS = 96, RUNS = 9 };

// The layers of a block of ViT-B/32's vision tower: in_proj, out_proj, c_fc, c_proj.
static const struct {
    int inputs, outputs;
    enum ck_epilogue epilogue;
} layers[] = {{768, 2304, CK_STORE}, {768, 768, CK_ADD}, {768, 3072, CK_APPLY_QUICK_GELU},
              {3072, 768, CK_ADD}};

static const char *const names[] = {"int8", "int8, 16 bits", "int7"};

static void report(const char *isa, const char *what, int layer, double seconds) {
    int k = layers[layer].inputs, n = layers[layer].outputs;
    printf("%-12s %-14s %4d -> %4d: %6.1f G operations/s\n", isa, what, k, n,
           2e-9 * ROWS * k * n / seconds);
}

static void vision(const char *name, enum ck_isa isa) {
    float *x = floats(ROWS * 3072), *out = floats(ROWS * 3072), *bias = floats(3072);
    float *weight = floats(768 * 3072);
    for (int l = 0; l < 4; l++) {
        int k = layers[l].inputs, n = layers[l].outputs;
        ck_float_matrix packed = {k, n, ck_float_slice(n, isa), isa, NULL};
        if (packed.slice) {
            packed.weights = memory(ck_float_packed_size(k, n, packed.slice));
            ck_float_pack(weight, &packed);
            double best = 1e9;
            for (int run = 0; run < RUNS; run++) {
                double start = now();
                ck_float_linear(x, ROWS, &packed, bias, out, layers[l].epilogue);
                if (now() - start < best) best = now() - start;
            }
            report(name, "fp32", l, best);
            free(packed.weights);
        }
        for (enum ck_int8_kind kind = CK_INT8; kind <= CK_INT7; kind++) {
            ck_int8_matrix m = {k, n, kind, isa, memory(ck_int8_packed_size(k, n, kind, isa)),
                                memory(4 * n), memory(4 * n)};
            ck_int8_rows q = {k, memory(2 * ROWS * k), memory(4 * ROWS), memory(4 * ROWS)};
            ck_int8_pack(weight, &m);
            double best = 1e9;
            for (int run = 0; run < RUNS; run++) {
                double start = now();
                ck_int8_quantize(x, ROWS, &m, &q);
                ck_int8_linear(&q, ROWS, &m, bias, out, layers[l].epilogue);
                if (now() - start < best) best = now() - start;
            }
            report(name, names[kind], l, best);
            free(m.weights), free(m.scales), free(m.sums);
            free(q.values), free(q.scales), free(q.zeros);
        }
    }
    free(x), free(out), free(bias), free(weight);
}

// The products of ViT-B/32's text tower: 12 blocks, weights in fp16.
static void text(const char *name, enum ck_isa isa) {
    static const int sizes[4][2] = {{512, 1536}, {512, 512}, {512, 2048}, {2048, 512}};
    static const int lengths[] = {1, 4, 8, 24, 40, 77};
    size_t block = 512 * (1536 + 512 + 2048 + 2048);
    uint16_t *weights = memory(12 * 2 * block + 64);
    for (size_t i = 0; i < 12 * block; i++) weights[i] = (uint16_t)(0x2C00 + i * 7919 % 1024);
    float *x = floats(77 * 2048), *out = floats(77 * 2048);
    for (int t = 0; t < 6; t++) {
        double best = 1e9;
        for (int run = 0; run < RUNS; run++) {
            double start = now();
            const uint16_t *w = weights + 1;
            for (int l = 0; l < 48; l++) {
                int k = sizes[l % 4][0], n = sizes[l % 4][1];
                ck_linear_half(x, lengths[t], w, k, n, out, n, false, isa);
                w += k * n;
            }
            if (now() - start < best) best = now() - start;
        }
        printf("%-12s text of %2d tokens: %6.2f ms\n", name, lengths[t], 1e3 * best);
    }
    free(weights), free(x), free(out);
}

// The attention of ViT-B/32's vision tower for one picture: 12 heads in 12 blocks.
static void attention(const char *name, enum ck_isa isa) {
    enum { LENGTH = 50, WIDTH = 768 };
    float *qkv = floats(LENGTH * 3 * WIDTH), *out = floats(LENGTH * WIDTH);
    float *scratch = floats(ck_attention_scratch(LENGTH, 64));
    ck_attention_shape shape = {LENGTH, LENGTH, 64, 3 * WIDTH, 3 * WIDTH, WIDTH, false, isa};
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double start = now();
        for (int head = 0; head < 144; head++) {
            const float *q = qkv + head % 12 * 64;
            ck_attention(&shape, q, q + WIDTH, q + 2 * WIDTH, scratch, out + head % 12 * 64);
        }
        if (now() - start < best) best = now() - start;
    }
    printf("%-12s attention: %6.2f ms\n", name, 1e3 * best);
    free(qkv), free(out), free(scratch);
}

int main(void) {
    for (enum ck_isa isa = 0; isa < CK_ISA_COUNT; isa++) {
        if (!ck_isa_has(isa)) continue;
        ck_isa_limit(isa);
        vision(ck_isa_name(isa), isa);
        attention(ck_isa_name(isa), isa);
        text(ck_isa_name(isa), isa);
    }
}
