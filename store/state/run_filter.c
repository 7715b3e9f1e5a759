#include "store/state/run_filter.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/ensure.h"

#define HUGE_PAGE ((size_t)2 << 20)

uint64_t filter_lines(uint64_t n)
{
    uint64_t keys_per_line = FILTER_LINE_BYTES * 8 / FILTER_KEY_BITS;
    return n / keys_per_line + 1;
}

uint64_t *filter_new(uint64_t lines)
{
    void *p = NULL;
    size_t bytes = (size_t)lines * FILTER_LINE_BYTES;
    bool large = bytes >= HUGE_PAGE;
    ensure(posix_memalign(&p, large ? HUGE_PAGE : FILTER_LINE_BYTES, bytes) == 0);
    if (large) /* fewer misses of the address cache; refused where there are no large pages */
        (void)madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 0, bytes);
    return p;
}

void filter_add(uint64_t *filter, uint64_t lines, struct hash128 key)
{
    uint64_t at = (uint64_t)((unsigned __int128)key.hi * lines >> 64) * FILTER_LINE_WORDS;
    for (unsigned i = 0; i < FILTER_LINE_WORDS; i++)
        filter[at + i] |= UINT64_C(1) << (key.lo >> 6 * i & 63);
}
