#include "store/fold.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/derive.h"
#include "store/store_priv.h"

/* Whether the raw segments that it was made from are gone. */
static bool is_orphan(const struct attached *a)
{
    return a->holds && a->inputs == 0;
}

bool fold_due(const struct store *store, int64_t *t0, int64_t *t1)
{
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        if (!is_orphan(a) || !a->later)
            continue;
        *t0 = segment_info(a->segment)->t0;
        *t1 = segment_info(a->segment)->t1;
        return true;
    }
    return false;
}

/* Derived cells, of input 0, stay; of the late ones those that add up with them. */
static bool adds_up(void *ctx, size_t input, const struct metric_def *def)
{
    (void)ctx;
    return input == 0 || def->kind != KIND_SAMPLE;
}

struct fold {
    struct store *store;
    int64_t t0, t1;
    struct segment **inputs; /* [0] is for a derived one, then the late ones */
    size_t n;
    uint64_t lsn; /* the greatest */
    const char **drops;
    struct manifest_segment *adds;
    struct manifest_edit edit;
    const char *bad; /* a segment that is damaged */
};

static void fold_init(struct fold *f, struct store *store, int64_t t0, int64_t t1)
{
    *f = (struct fold){.store = store, .t0 = t0, .t1 = t1, .n = 1};
    f->inputs = xcalloc(store->n_segments + 1, sizeof(struct segment *));
    f->drops = xcalloc(store->n_segments, sizeof *f->drops);
    f->adds = xcalloc(store->n_segments, sizeof *f->adds);
    f->edit = (struct manifest_edit){.drops = f->drops, .adds = f->adds};
    for (size_t i = 0; i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->derived || info->t0 < t0 || info->t1 > t1)
            continue;
        f->inputs[f->n++] = a->segment;
        f->lsn = a->lsn > f->lsn ? a->lsn : f->lsn;
        f->drops[f->edit.n_drops++] = info->name;
    }
}

static void fold_fini(struct fold *f)
{
    free(f->inputs);
    free(f->drops);
    free(f->adds);
}

static bool fold_into(struct fold *f, const struct attached *a, struct err *err)
{
    const struct segment_info *info = segment_info(a->segment);
    struct derivation d = {f->t0, f->t1, info->resolution_ms};
    struct segment_info out;
    f->inputs[0] = a->segment;
    if (!derive_write(f->store, &d, f->inputs, f->n, adds_up, &out, &f->bad, err))
        return false;
    f->drops[f->edit.n_drops++] = info->name;
    if (out.series == 0)
        return true;
    struct manifest_segment *add = &f->adds[f->edit.n_adds++];
    *add = (struct manifest_segment){.lsn = f->lsn, .derived = true};
    snprintf(add->name, sizeof add->name, "%s", out.name);
    return true;
}

bool fold_run(struct store *store, int64_t t0, int64_t t1, struct err *err)
{
    struct fold f;
    struct err why = {0};
    bool ok = true;
    fold_init(&f, store, t0, t1);
    size_t late = f.n - 1;
    for (size_t i = 0; ok && i < store->n_segments; i++) {
        const struct attached *a = &store->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (is_orphan(a) && info->t0 == t0 && info->t1 == t1)
            ok = fold_into(&f, a, &why);
    }
    ok = ok && segments_change(store, &f.edit, &why);
    if (ok)
        log_info("merged %zu late segments into the coarser cells of (%" PRId64 ", %" PRId64 "]",
            late, t0, t1);
    else if (f.bad && why.code == ERR_CORRUPT)
        ok = quarantine_segment(store, f.bad, &why, err);
    else
        err_set(err, why.code, "%s", why.text);
    fold_fini(&f);
    return ok;
}
