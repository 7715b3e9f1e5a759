#include "store/progress.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/store_priv.h"

static struct progress *copy(const struct store *store)
{
    struct progress *p = xcalloc(1, sizeof *p);
    atomic_init(&p->refs, 1);
    p->sources = xcalloc(store->n_sources, sizeof *p->sources);
    p->clocks = xcalloc(store->n_clocks, sizeof *p->clocks);
    for (; p->n_sources < store->n_sources; p->n_sources++) {
        const struct source *s = &store->sources[p->n_sources];
        p->sources[p->n_sources] = (struct source_position){s->name, s->next, s->newest_ms};
    }
    for (; p->n_clocks < store->n_clocks; p->n_clocks++)
        p->clocks[p->n_clocks] = store->clocks[p->n_clocks];
    return p;
}

struct progress *progress_get(struct store *store)
{
    if (!store->progress)
        store->progress = copy(store);
    atomic_fetch_add_explicit(&store->progress->refs, 1, memory_order_relaxed);
    return store->progress;
}

void progress_put(struct progress **progress)
{
    struct progress *p = *progress;
    *progress = NULL;
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(p->sources);
    free(p->clocks);
    free(p);
}

void progress_moved(struct store *store)
{
    progress_put(&store->progress);
}
