#include "store/unread.h"

#include <errno.h>

#include "base/log.h"
#include "store/store_priv.h"

bool unread_is_lost(const struct err *why)
{
    return why->code == ERR_CORRUPT || (why->code == ERR_IO && why->sys == ENOENT);
}

bool unread_is_away(const struct err *why)
{
    return why->code == ERR_UNAVAILABLE || why->code == ERR_TIMEOUT;
}

bool unread_may_pass(const struct err *why)
{
    return unread_is_away(why) || (why->code == ERR_IO && why->sys == EIO);
}

static void times_of(const struct manifest_segment *segment, int64_t *t0, int64_t *t1)
{
    if (!segment_name_times(segment->name, t0, t1)) /* it may hold anything */
        *t0 = INT64_MIN, *t1 = INT64_MAX;
}

static void wait(struct store *store, const struct manifest_segment *segment, const struct err *why)
{
    int64_t t0, t1;
    times_of(segment, &t0, &t1);
    skips_add(&store->maintenance.skips, t0, t1, why);
    store->maintenance.unreadable = store->maintenance.skips.n;
}

void unread_leave(struct store *store, struct manifest_segment *segment, const struct err *why)
{
    segment->unread = true;
    log_error("segment %s is set aside until it can be read: %s", segment->name, why->text);
    wait(store, segment, why);
}

static void wait_again(
    struct store *store, const struct manifest_segment *one, const struct err *why)
{
    const struct manifest *m = &store->manifest;
    if (!unread_is_away(why)) {
        wait(store, one, why);
        return;
    }
    for (size_t i = 0; i < m->n_segments; i++)
        if (m->segments[i].unread)
            wait(store, &m->segments[i], why);
}

static bool ask(struct store *store, struct manifest_segment *segment, bool *did, struct err *err)
{
    struct err why = {0};
    int64_t t0, t1;
    times_of(segment, &t0, &t1);
    *did = attach_again(store, segment, &why);
    if (*did) {
        log_info("segment %s can be read again", segment->name);
        changes_note(store, NULL, 0, t0, t1);
        return true;
    }
    if (unread_is_lost(&why)) {
        *did = true;
        return quarantine_segment(store, segment->name, &why, err);
    }
    if (unread_may_pass(&why)) {
        wait_again(store, segment, &why);
        return true;
    }
    *err = why;
    return false;
}

bool unread_step(struct store *store, bool *did, struct err *err)
{
    struct manifest *m = &store->manifest;
    *did = false;
    for (size_t i = 0; i < m->n_segments; i++) {
        int64_t t0, t1;
        if (!m->segments[i].unread)
            continue;
        times_of(&m->segments[i], &t0, &t1);
        if (skips_find(&store->maintenance.skips, t0, t1))
            continue;
        if (!ask(store, &m->segments[i], did, err))
            return false;
        if (*did)
            return true;
    }
    return true;
}
