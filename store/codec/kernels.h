/*
 * Kernels: the hot loops of decoding, in variants for what the processor can do. One table of
 * function pointers is in use; it is chosen by asking the processor, the first time that a stream
 * is coded. (Not by the linker: compiler-made ifuncs run before ThreadSanitizer does, and crash.)
 *
 *     portable   C, everywhere
 *     avx2       AVX2 and FMA
 *     avx512     AVX-512 F, BW and DQ
 *
 * All variants give the same bits for every input, also for one that no writer has made.
 */
#ifndef STORE_CODEC_KERNELS_H
#define STORE_CODEC_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Behind the bytes that a kernel unpacks it may read so many more; they mean nothing. */
#define KERNEL_SLACK 64
/* Scratch arrays, `out` of unpack and split, have room for so many more values. */
#define KERNEL_ROOM 32
#define DECIMAL_MAX 14 /* the largest exponent of ten */

struct kernels {
    const char *name;
    /* n numbers of `bits` bits each, 1..32, low bits first. */
    void (*unpack32)(const uint8_t *src, unsigned bits, size_t n, uint32_t *out);
    /* The same for 33..64 bits. */
    void (*unpack64)(const uint8_t *src, unsigned bits, size_t n, uint64_t *out);
    /* Digit d of group g becomes out[d * n_groups + g]; the last digit is what is left. Destroys
     * the groups, which have KERNEL_ROOM behind them. */
    void (*split)(uint32_t *groups, size_t n_groups, unsigned radix, uint32_t *out);
    /* out[i] = in[i] + base */
    void (*add32)(const uint32_t *in, size_t n, uint64_t base, uint64_t *out);
    /* *sum += in[i] + base, out[i] = *sum. in may be out in sum64. */
    void (*sum32)(const uint32_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out);
    void (*sum64)(const uint64_t *in, size_t n, uint64_t base, uint64_t *sum, uint64_t *out);
    /* In place: zigzag undone. */
    void (*unfold)(uint64_t *values, size_t n);
    /* In place: the integer k becomes the bits of (double)k / 10^e, both steps correctly rounded;
     * e is 0..DECIMAL_MAX. */
    void (*decimals)(uint64_t *values, size_t n, unsigned e);
};

/* The table in use. */
const struct kernels *kernels(void);
/* Uses the variant with that name from now on, NULL: the best one. False when this processor or
 * this build does not have it. For tests and benchmarks, before threads start. */
bool kernels_use(const char *name);

/* 10^e, e up to DECIMAL_MAX: exact in a double. */
extern const double kernels_power[DECIMAL_MAX + 1];
/* 1 / 10^e, correctly rounded. */
extern const double kernels_inverse[DECIMAL_MAX + 1];

extern const struct kernels kernels_portable;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2;
extern const struct kernels kernels_avx512;
#endif

#endif
