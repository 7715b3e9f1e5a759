#include "store/codec/kernels.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "store/codec/radix.h"

const double kernels_power[DECIMAL_MAX + 1] = {
    1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
const double kernels_inverse[DECIMAL_MAX + 1] = {
    1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14};

static _Atomic(const struct kernels *) in_use;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool can_run(const struct kernels *k)
{
#if defined(__x86_64__)
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (k == &kernels_avx2)
        return avx2;
    if (k == &kernels_avx512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq");
#endif
    return k == &kernels_portable;
}

/* From slow to fast. */
static const struct kernels *const variants[] = {
    &kernels_portable,
#if defined(__x86_64__)
    &kernels_avx2,
    &kernels_avx512,
#endif
};
#define N_VARIANTS (sizeof variants / sizeof *variants)

static const struct kernels *best(void)
{
    const struct kernels *found = &kernels_portable;
    for (size_t i = 0; i < N_VARIANTS; i++)
        if (can_run(variants[i]))
            found = variants[i];
    return found;
}

static void choose(void)
{
    radix_init();
    atomic_store_explicit(&in_use, best(), memory_order_release);
}

const struct kernels *kernels(void)
{
    const struct kernels *k = atomic_load_explicit(&in_use, memory_order_acquire);
    if (k)
        return k;
    pthread_once(&once, choose);
    return atomic_load_explicit(&in_use, memory_order_acquire);
}

bool kernels_use(const char *name)
{
    kernels();
    const struct kernels *found = name ? NULL : best();
    for (size_t i = 0; name && i < N_VARIANTS; i++)
        if (strcmp(variants[i]->name, name) == 0 && can_run(variants[i]))
            found = variants[i];
    if (found)
        atomic_store_explicit(&in_use, found, memory_order_release);
    return found != NULL;
}
