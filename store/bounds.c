#include "store/bounds.h"

#include <inttypes.h>
#include <math.h>

#include "base/number.h"
#include "store/seal.h"
#include "store/segment/chunk.h"
#include "store/segment/hist_layout.h"
#include "store/segment/provenance.h"
#include "store/store.h"

#define SCHEMA_MIN (-4)
#define SCHEMA_MAX 8

/* Every key that fits: two signs, and zero. */
_Static_assert(2 * (2 * HIST_INDEX_BOUND - 1) + 1 <= HIST_KEYS_MAX, "a merged cell fits a chunk");

bool time_check(int64_t t_ms, struct err *err)
{
    return time_fits(t_ms) ||
           err_set(
               err, ERR_INVALID, "a cell at time %" PRId64 " ms; times lie in (-2^62, 2^62)", t_ms);
}

const char *metric_def_fault(const struct metric_def *def)
{
    if (def->kind < KIND_COUNTER || def->kind > KIND_SAMPLE)
        return "kind";
    if (def->digits < 0 || def->digits > DIGITS_MAX)
        return "digits";
    if (def->kind == KIND_HISTOGRAM && (def->schema < SCHEMA_MIN || def->schema > SCHEMA_MAX))
        return "schema";
    if (def->schema < INT8_MIN || def->schema > INT8_MAX)
        return "schema";
    if (def->every_ms < 0 || (def->every_ms == 0) != (def->kind == KIND_SAMPLE))
        return "every_ms";
    if (def->stale_after_ms < 0)
        return "stale_after_ms";
    if (def->clock.len > METRIC_TEXT_MAX)
        return "clock";
    if (def->help.len > METRIC_TEXT_MAX)
        return "help";
    if (def->unit.len > METRIC_TEXT_MAX)
        return "unit";
    return NULL;
}

bool metric_def_check(const struct metric_def *def, struct err *err)
{
    if (def->name.len == 0 || def->name.len > LABEL_VALUE_MAX)
        return err_set(err, ERR_INVALID, "a metric with a name of %zu bytes; 1 to %d are allowed",
            def->name.len, LABEL_VALUE_MAX);
    const char *fault = metric_def_fault(def);
    return !fault || err_set(err, ERR_INVALID, "metric %.*s: %s is out of bounds",
                         SLICE_FMT(def->name), fault);
}

/* ---- histograms ---- */

static bool ascends(const struct hist_fbucket *b, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (b[i].index <= b[i - 1].index)
            return false;
    return true;
}

bool hist_fits(const struct hist *hist, struct err *err)
{
    const struct hist *h = hist;
    uint64_t buckets = (uint64_t)h->n_positive + h->n_negative;
    if (h->schema != HIST_SCHEMA_CUSTOM && (h->schema < SCHEMA_MIN || h->schema > SCHEMA_MAX))
        return err_set(err, ERR_INVALID, "a histogram of schema %d; %d to %d and %d are allowed",
            h->schema, SCHEMA_MIN, SCHEMA_MAX, HIST_SCHEMA_CUSTOM);
    if ((unsigned)h->reset_hint > HIST_GAUGE)
        return err_set(err, ERR_INVALID, "a histogram with reset hint %d", (int)h->reset_hint);
    if (buckets > LAYOUT_KEYS_MAX)
        return err_set(err, ERR_INVALID,
            "a histogram of %" PRIu64 " buckets; at most %u are allowed", buckets, LAYOUT_KEYS_MAX);
    if (h->n_bounds > LAYOUT_BOUNDS_MAX)
        return err_set(err, ERR_INVALID,
            "a histogram of %" PRIu32 " custom bounds; at most %u are allowed", h->n_bounds,
            LAYOUT_BOUNDS_MAX);
    if (!ascends(h->positive, h->n_positive) || !ascends(h->negative, h->n_negative))
        return err_set(err, ERR_INVALID, "a histogram whose buckets do not ascend");
    return true;
}

static bool custom_check(const struct hist *h, struct err *err)
{
    double before = -INFINITY;
    for (uint32_t i = 0; i < h->n_bounds; i++) {
        if (!(h->bounds[i] > before) || isinf(h->bounds[i]))
            return err_set(err, ERR_INVALID, "a histogram whose custom bounds do not ascend");
        before = h->bounds[i];
    }
    if (h->n_negative)
        return err_set(err, ERR_INVALID, "a histogram with custom bounds and negative buckets");
    if (h->zero_count != 0 || h->zero_threshold != 0)
        return err_set(err, ERR_INVALID, "a histogram with custom bounds and a zero bucket");
    for (uint32_t i = 0; i < h->n_positive; i++)
        if (h->positive[i].index < 0 || (uint32_t)h->positive[i].index > h->n_bounds)
            return err_set(err, ERR_INVALID,
                "a histogram of %" PRIu32 " custom bounds with a bucket %" PRId32, h->n_bounds,
                h->positive[i].index);
    return true;
}

bool hist_check(const struct hist *hist, struct err *err)
{
    if (!hist_fits(hist, err))
        return false;
    if (hist->schema == HIST_SCHEMA_CUSTOM)
        return custom_check(hist, err);
    return hist->n_bounds == 0 ||
           err_set(err, ERR_INVALID, "a histogram of schema %d with custom bounds", hist->schema);
}

bool amount_check(int128 amount, struct err *err)
{
    return sum_fits(amount) ||
           err_set(err, ERR_INVALID, "an amount that does not lie in (-2^112, 2^112)");
}

bool gauge_cell_check(const struct gauge_cell *cell, struct err *err)
{
    if (cell->count < 1 || !count_fits(cell->count))
        return err_set(err, ERR_INVALID,
            "a gauge with %" PRId64 " readings; 1 to 2^48 - 1 are allowed", cell->count);
    return sum_fits(cell->sum) ||
           err_set(err, ERR_INVALID, "a gauge whose sum does not lie in (-2^112, 2^112)");
}

bool hist_cell_check(const struct hist_cell *cell, struct err *err)
{
    if (!sum_fits(cell->sum))
        return err_set(err, ERR_INVALID, "a histogram whose sum does not lie in (-2^112, 2^112)");
    for (uint32_t i = 0; i < cell->n; i++) {
        const struct hist_bucket *b = &cell->buckets[i];
        if (!hist_key_fits(b->key))
            return err_set(err, ERR_INVALID, "a histogram with a bucket %" PRId32, b->key);
        if (b->count == 0)
            return err_set(
                err, ERR_INVALID, "a histogram whose bucket %" PRId32 " counts nothing", b->key);
        if (!count_fits(b->count))
            return err_set(err, ERR_INVALID,
                "a histogram whose bucket %" PRId32 " counts %" PRId64
                "; counts lie in (-2^48, 2^48)",
                b->key, b->count);
        if (i && b[-1].key >= b->key)
            return err_set(err, ERR_INVALID, "a histogram whose buckets do not ascend");
    }
    return true;
}

/* ---- names ---- */

bool labels_check(struct labels labels, struct err *err)
{
    if (labels.n > LABELS_MAX)
        return err_set(err, ERR_LIMIT, "a series with %zu labels; at most %d are allowed", labels.n,
            LABELS_MAX);
    for (size_t i = 0; i < labels.n; i++) {
        const struct label *l = &labels.items[i];
        if (l->name.len == 0 || l->value.len == 0)
            return err_set(err, ERR_INVALID, "a label with an empty name or value");
        if (l->name.len > LABEL_NAME_MAX)
            return err_set(err, ERR_LIMIT, "a label name of %zu bytes; 1 to %d are allowed",
                l->name.len, LABEL_NAME_MAX);
        if (l->value.len > LABEL_VALUE_MAX)
            return err_set(err, ERR_LIMIT,
                "label %.*s has a value of %zu bytes; 1 to %d are allowed", SLICE_FMT(l->name),
                l->value.len, LABEL_VALUE_MAX);
        if (i && slice_cmp(l[-1].name, l->name) >= 0)
            return err_set(
                err, ERR_INVALID, "label %.*s is not in the order of names", SLICE_FMT(l->name));
    }
    return true;
}

static bool name_check(const char *what, struct slice name, struct err *err)
{
    return (name.len > 0 && name.len <= SOURCE_NAME_MAX) ||
           err_set(err, ERR_INVALID, "a %s with a name of %zu bytes; 1 to %d are allowed", what,
               name.len, SOURCE_NAME_MAX);
}

bool source_check(struct slice name, int64_t newest_ms, struct slice state, struct err *err)
{
    if (!name_check("source", name, err))
        return false;
    if (slice_is(name, SEAL_LSN))
        return err_set(err, ERR_INVALID, "a source %s: that name is the store's", SEAL_LSN);
    if (state.len > SOURCE_STATE_MAX)
        return err_set(err, ERR_INVALID,
            "source %.*s has a state of %zu bytes; at most %d are allowed", SLICE_FMT(name),
            state.len, SOURCE_STATE_MAX);
    if (newest_ms != INT64_MIN && !time_fits(newest_ms))
        return err_set(err, ERR_INVALID,
            "source %.*s: its newest event has time %" PRId64 " ms; times lie in (-2^62, 2^62)",
            SLICE_FMT(name), newest_ms);
    return true;
}

bool clock_check(struct slice name, struct err *err)
{
    return name_check("clock", name, err);
}
