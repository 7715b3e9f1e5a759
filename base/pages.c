#include "base/pages.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/ensure.h"

#define LARGE ((size_t)2 << 20)

/* The system gives addresses that are aligned to small pages: the ends that are too much go back.
 */
static void *aligned(size_t size)
{
    char *all = mmap(NULL, size + LARGE, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ensure(all != MAP_FAILED);
    size_t before = (LARGE - (uintptr_t)all % LARGE) % LARGE;
    if (before)
        (void)munmap(all, before);
    (void)munmap(all + before + size, LARGE - before);
    return all + before;
}

static size_t whole(size_t size)
{
    return (size + LARGE - 1) / LARGE * LARGE;
}

void *pages_new(size_t size)
{
    ensure(size > 0 && size < SIZE_MAX - 2 * LARGE);
    void *pages = aligned(whole(size));
    (void)madvise(pages, size, MADV_HUGEPAGE);
    return pages;
}

void pages_free(void *pages, size_t size)
{
    if (pages)
        (void)munmap(pages, whole(size));
}
