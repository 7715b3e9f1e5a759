#include "store/missing.h"

#include <inttypes.h>

#include "store/compact.h"
#include "store/mark.h"

/* ---- ages ---- */

/* Whether cells of the metric have had their age in a resolution. */
static bool is_over(const struct missing_reader *reader, int64_t t1, int64_t resolution_ms)
{
    int64_t start = window_start(t1, reader->window_ms);
    return start != INT64_MIN && start <= INT64_MAX - reader->window_ms &&
           retention_takes(reader->retention, reader->def->name, resolution_ms,
               start + reader->window_ms, reader->newest_ms);
}

/* Whether raw cells of the metric are left in the time of a segment. */
static bool has_raw(
    const struct missing_reader *reader, const struct quarantined *q, bool *has, struct err *err)
{
    *has = false;
    for (size_t i = 0; i < reader->n_segments && !*has; i++) {
        const struct attached *a = &reader->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (!a->derived && info->t0 < q->t1 && q->t0 < info->t1 &&
            !attached_has_metric(a, reader->def->name, has, err))
            return false;
    }
    return true;
}

/* ---- raw segments ---- */

/* The same for a level's sum inside the window. A segment that has the metric, or would have it,
 * and not the series, says that there was none in the raw one. */
static bool finds_sum(
    const struct missing_reader *reader, uint32_t i, bool inside, bool *has, struct err *err)
{
    const struct attached *a = &reader->segments[i];
    int64_t resolution = segment_info(a->segment)->resolution_ms;
    uint32_t ordinal;
    if (!inside)
        return reader->serves(reader->ctx, i, has, err);
    if (!attached_find(a, reader->opening->series, &ordinal, err))
        return false;
    if (ordinal == SEGMENT_NO_ID) {
        *has = resolution == RESOLUTION_1D && resolution_coarsens(reader->def, resolution);
        return *has || attached_has_metric(a, reader->def->name, has, err);
    }
    *has = segment_info(a->segment)->t1 <= reader->opening->at_ms ||
           reader->opening->at_ms % resolution == 0;
    return !*has || reader->serves(reader->ctx, i, has, err);
}

/* Whether the reader finds the cells of the raw segment in a derived one that was made from it. Of
 * samples a derived segment may lack some series, of the others it has all of a metric. */
static bool finds(const struct missing_reader *reader, uint32_t i, bool *has, struct err *err)
{
    const struct attached *a = &reader->segments[i];
    const struct segment_info *info = segment_info(a->segment);
    if (reader->opening)
        return finds_sum(
            reader, i, !opening_counts_whole(reader->opening, info->t0, info->t1), has, err);
    if (reader->def->kind == KIND_SAMPLE)
        return reader->serves(reader->ctx, i, has, err);
    *has = false;
    return info->resolution_ms != reader->resolution_ms ||
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

static bool lacks_raw(
    const struct missing_reader *reader, const struct quarantined *q, bool *lacks, struct err *err)
{
    bool over = !reader->opening && is_over(reader, q->t1, 0) &&
                is_over(reader, q->t1, reader->resolution_ms);
    bool has = !over, coarse = reader->opening || reader->resolution_ms;
    if (over && !has_raw(reader, q, &has, err))
        return false;
    *lacks = has;
    if (!*lacks || !coarse)
        return true;
    if (!has_cells(reader, q, &has, err))
        return false;
    *lacks = !has;
    return true;
}

/* ---- kept segments ---- */

/* What it takes of a window of kept cells. */
struct need {
    bool any;           /* any one that has the metric; else: */
    int64_t resolution; /* the one of this */
};

/* The finest that the level has, and that has not had its age. */
static int64_t finest(const struct missing_reader *reader, int64_t t1)
{
    for (int r = 0; r < RESOLUTIONS - 1; r++)
        if (resolution_fits(reader->def, resolutions[r]) && !is_over(reader, t1, resolutions[r]))
            return resolutions[r];
    return RESOLUTION_1D;
}

static struct need need_of(const struct missing_reader *reader, const struct quarantined *kept)
{
    if (!reader->opening)
        return (struct need){false, reader->resolution_ms};
    bool whole = opening_counts_whole(reader->opening, kept->t0, kept->t1);
    return (struct need){whole, whole ? 0 : finest(reader, kept->t1)};
}

/* Whether kept segment i, which is not the one that is set aside, has what is needed. Of a mark's
 * resolution it is but a rest. Cells of a day have every level of the window. */
static bool is_enough(const struct missing_reader *reader, const struct need *need,
    const struct quarantined *q, uint32_t i, bool *enough, struct err *err)
{
    const struct attached *a = &reader->segments[i];
    int64_t resolution = segment_info(a->segment)->resolution_ms;
    bool rest =
        q->mark && (q->resolution_ms == MARK_ANY_RESOLUTION || q->resolution_ms == resolution);
    *enough = !rest && (need->any || resolution == need->resolution);
    if (!reader->opening || rest || (!*enough && resolution != RESOLUTION_1D))
        return true;
    bool has;
    if (!attached_has_metric(a, reader->def->name, &has, err))
        return false;
    if (!has)
        *enough = resolution == RESOLUTION_1D; /* nor has the one that is set aside */
    return !has || !need->any || reader->serves(reader->ctx, i, enough, err);
}

static bool has_like(
    const struct missing_reader *reader, const struct quarantined *kept, bool *has, struct err *err)
{
    const struct need need = need_of(reader, kept);
    *has = kept->mark && !reader->opening && kept->resolution_ms != MARK_ANY_RESOLUTION &&
           kept->resolution_ms != need.resolution;
    for (uint32_t i = 0; i < reader->n_segments && !*has; i++) {
        const struct attached *a = &reader->segments[i];
        const struct segment_info *info = segment_info(a->segment);
        if (a->kept && a->holds && info->t0 == kept->t0 && info->t1 == kept->t1 &&
            !is_enough(reader, &need, kept, i, has, err))
            return false;
    }
    return true;
}

static bool lacks_kept(
    const struct missing_reader *reader, const struct quarantined *q, bool *lacks, struct err *err)
{
    bool has;
    *lacks = false;
    if (!reader->opening &&
        (!reader->resolution_ms || is_over(reader, q->t1, reader->resolution_ms)))
        return true;
    if (!has_like(reader, q, &has, err))
        return false;
    *lacks = !has;
    return true;
}

/* ---- either ---- */

static bool lacks(
    const struct missing_reader *reader, const struct quarantined *q, bool *lacks, struct err *err)
{
    *lacks = false;
    if (q->derived)
        return !q->kept || lacks_kept(reader, q, lacks, err);
    return q->gone || lacks_raw(reader, q, lacks, err);
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
