#include "store/missing.h"

#include <inttypes.h>

/* Whether the reader finds the cells of the raw segment in a derived one that was made from it. Of
 * samples a derived segment may lack some series, of the others it has all of a metric. */
static bool finds(const struct missing_reader *reader, uint32_t i, bool *has, struct err *err)
{
    const struct attached *a = &reader->segments[i];
    if (reader->opening || reader->def->kind == KIND_SAMPLE)
        return reader->serves(reader->ctx, i, has, err);
    *has = false;
    return segment_info(a->segment)->resolution_ms != reader->resolution_ms ||
           attached_has_metric(a, reader->def->name, has, err);
}

static bool has_cells(
    const struct missing_reader *reader, const struct quarantined *raw, bool *has, struct err *err)
{
    *has = false;
    for (uint32_t i = 0; i < reader->n_segments && !*has; i++) {
        const struct attached *a = &reader->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->derived && a->holds && a->whole && raw->lsn <= a->lsn && info->t0 <= raw->t0 &&
            raw->t1 <= info->t1 && !finds(reader, i, has, err))
            return false;
    }
    return true;
}

/* *has: whether another kept segment serves the reader as well as the one that is set aside: of the
 * resolution that it wants; or, of a level, any that has the metric. */
static bool has_like(
    const struct missing_reader *reader, const struct quarantined *kept, bool *has, struct err *err)
{
    *has = false;
    for (size_t i = 0; i < reader->n_segments && !*has; i++) {
        const struct attached *a = &reader->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (!a->kept || !a->holds || info->t0 != kept->t0 || info->t1 != kept->t1)
            continue;
        if (!reader->opening)
            *has = info->resolution_ms == reader->resolution_ms;
        else if (!attached_has_metric(a, reader->def->name, has, err))
            return false;
    }
    return true;
}

static bool lacks(
    const struct missing_reader *reader, const struct quarantined *q, bool *lacks, struct err *err)
{
    bool has = false, coarse = reader->opening || reader->resolution_ms;
    *lacks = !q->derived || (coarse && q->kept);
    if (!*lacks || !coarse)
        return true;
    if (!(q->derived ? has_like : has_cells)(reader, q, &has, err))
        return false;
    *lacks = !has;
    return true;
}

bool missing_check(const struct missing_reader *reader, int64_t from, int64_t to, struct err *err)
{
    for (size_t i = 0; i < reader->n; i++) {
        const struct quarantined *q = &reader->all[i];
        bool lacking;
        if (q->t0 >= to || from >= q->t1)
            continue;
        if (!lacks(reader, q, &lacking, err))
            return false;
        if (lacking)
            return err_set(err, ERR_CORRUPT,
                "segment %s is damaged and was set aside: cells from %" PRId64 " to %" PRId64
                " ms are missing",
                q->name, q->t0, q->t1);
    }
    return true;
}
