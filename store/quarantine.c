#include "store/quarantine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/attach.h"
#include "store/store_priv.h"

bool segment_name_times(const char *name, int64_t *t0, int64_t *t1)
{
    char dot;
    return sscanf(name, "%" SCNd64 "-%" SCNd64 "%c", t0, t1, &dot) == 3 && dot == '.' && *t0 < *t1;
}

struct quarantined *quarantine_list(const struct manifest *manifest)
{
    struct quarantined *all = xcalloc(manifest->n_quarantined, sizeof *all);
    for (size_t i = 0; i < manifest->n_quarantined; i++) {
        struct quarantined *q = &all[i];
        q->made_anew = manifest->quarantined[i].derived && manifest->quarantined[i].inputs != 0;
        memcpy(q->name, manifest->quarantined[i].name, sizeof q->name);
        if (!segment_name_times(q->name, &q->t0, &q->t1)) { /* it may hold anything */
            q->t0 = INT64_MIN;
            q->t1 = INT64_MAX;
        }
    }
    return all;
}

bool quarantine_segment(
    struct store *store, const char *name, const struct err *why, struct err *err)
{
    char copy[SEGMENT_NAME_MAX];
    int64_t t0, t1;
    snprintf(copy, sizeof copy, "%s", name);
    if (!segments_change(store, &(struct manifest_edit){.quarantine = copy}, err))
        return false;
    if (!segment_name_times(copy, &t0, &t1)) /* it may hold anything */
        t0 = INT64_MIN, t1 = INT64_MAX;
    changes_note(store, NULL, 0, t0, t1);
    log_error("segment %s is set aside, its file is kept: %s", copy, why->text);
    return true;
}

bool quarantine_check(
    const struct quarantined *all, size_t n, int64_t from, int64_t to, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct quarantined *q = &all[i];
        if (!q->made_anew && q->t0 < to && from < q->t1)
            return err_set(err, ERR_CORRUPT,
                "segment %s is damaged and was set aside: cells from %" PRId64 " to %" PRId64
                " ms are missing",
                q->name, q->t0, q->t1);
    }
    return true;
}
