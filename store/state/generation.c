#include "store/state/generation.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/state/memtable.h"
#include "store/state/run.h"

struct state_view *state_view_new(
    struct memtable *mem, struct memtable *frozen, struct run *const *runs, size_t n_runs)
{
    struct state_view *v = xcalloc(1, sizeof *v + n_runs * sizeof v->runs[0]);
    atomic_init(&v->refs, 1);
    v->mem = memtable_ref(mem);
    v->frozen = memtable_ref(frozen);
    for (; v->n_runs < n_runs; v->n_runs++)
        v->runs[v->n_runs] = run_ref(runs[v->n_runs]);
    return v;
}

struct state_view *state_view_ref(struct state_view *view)
{
    if (view)
        atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

void state_view_unref(struct state_view **view)
{
    struct state_view *v = *view;
    *view = NULL;
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    memtable_unref(&v->mem);
    memtable_unref(&v->frozen);
    for (size_t i = 0; i < v->n_runs; i++)
        run_unref(&v->runs[i]);
    free(v);
}
