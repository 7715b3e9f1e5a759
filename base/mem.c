#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/ensure.h"

/* What jemalloc reads at its start: memory in large pages. Most of it is tables that are looked
 * into anywhere, and where a processor's cache of addresses reaches 4 KiB at a time, a fourth of
 * the ingestion's time went into walks through page tables (docs/notes/032-ingest-speed.md). The
 * variable MALLOC_CONF goes before. */
extern const char *malloc_conf;
const char *malloc_conf = "thp:always";

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    ensure(p != NULL);
    return p;
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    ensure(p != NULL);
    return p;
}

void *xrealloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size ? size : 1);
    ensure(p != NULL);
    return p;
}

void *xreallocarray(void *ptr, size_t n, size_t size)
{
    ensure(size == 0 || n <= SIZE_MAX / size);
    return xrealloc(ptr, n * size);
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *ptr, size_t len)
{
    char *p = xmalloc(len + 1);
    if (len)
        memcpy(p, ptr, len);
    p[len] = 0;
    return p;
}

void grow_array(void *ptr_to_array, size_t *cap, size_t need, size_t elem_size)
{
    if (need <= *cap)
        return;
    size_t n = *cap ? *cap : 8;
    while (n < need) {
        ensure(n <= SIZE_MAX / 2);
        n *= 2;
    }
    void *old, *fresh;
    memcpy(&old, ptr_to_array, sizeof old);
    fresh = xreallocarray(old, n, elem_size);
    memcpy(ptr_to_array, &fresh, sizeof fresh);
    *cap = n;
}
