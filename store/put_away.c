#include "store/put_away.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/salvage.h"
#include "store/store_priv.h"

static bool ends(const char *name, const char *with)
{
    size_t n = strlen(name), m = strlen(with);
    return n > m && strcmp(name + n - m, with) == 0;
}

static bool is_segment(const char *name, int64_t *t0, int64_t *t1)
{
    return ends(name, ".seg") && segment_name_times(name, t0, t1);
}

static bool is_run(const char *name)
{
    return ends(name, ".run");
}

/* ---- the list ---- */

static bool add_name(void *ctx, const char *name, struct err *err)
{
    struct put_away *p = ctx;
    int64_t t0, t1;
    (void)err;
    if (!is_segment(name, &t0, &t1) && !is_run(name))
        return true;
    GROW(p->names, p->cap, p->n + 1);
    p->names[p->n++] = xstrdup(name);
    return true;
}

static void free_names(struct put_away *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->names[i]);
    free(p->names);
    *p = (struct put_away){0};
}

static bool list(const char *folder, struct put_away *out, struct err *err)
{
    char dir[PATH_BYTES];
    struct stat st;
    *out = (struct put_away){0};
    return path_join(dir, folder, PUT_AWAY_FOLDER, err) &&
           ((stat(dir, &st) != 0 && errno == ENOENT) || dir_each(dir, add_name, out, err));
}

bool put_away_count(const char *folder, uint64_t *n, struct err *err)
{
    struct put_away all;
    bool ok = list(folder, &all, err);
    *n = all.n;
    free_names(&all);
    return ok;
}

bool put_away_discard(const char *folder, struct err *err)
{
    struct put_away all;
    char dir[PATH_BYTES], path[PATH_BYTES];
    bool ok = list(folder, &all, err) && path_join(dir, folder, PUT_AWAY_FOLDER, err);
    for (size_t i = 0; ok && i < all.n; i++)
        ok = path_join(path, dir, all.names[i], err) && file_remove(path, err);
    ok = ok && (all.n == 0 || dir_sync(dir, err));
    free_names(&all);
    return ok;
}

bool put_away_load(struct store *store, struct err *err)
{
    if (!list(store->path, &store->put_away, err))
        return false;
    if (store->put_away.n)
        log_info("%s/" PUT_AWAY_FOLDER " holds %zu damaged files that a repair has put away",
            store->path, store->put_away.n);
    return true;
}

void put_away_fini(struct store *store)
{
    free_names(&store->put_away);
}

/* ---- removing ---- */

struct removal {
    struct store *store;
    char dir[PATH_BYTES];
    bool any;
};

static bool removal_init(struct removal *r, struct store *store, struct err *err)
{
    *r = (struct removal){.store = store};
    return path_join(r->dir, store->path, PUT_AWAY_FOLDER, err);
}

/* Number i is the next one afterwards. */
static bool take(struct removal *r, size_t i, const char *why, struct err *err)
{
    struct put_away *p = &r->store->put_away;
    char path[PATH_BYTES];
    if (!path_join(path, r->dir, p->names[i], err) || !file_remove(path, err))
        return false;
    log_warn("%s is removed: %s", path, why);
    r->any = true;
    mutex_lock(&r->store->lock); /* statistics count them */
    free(p->names[i]);
    memmove(p->names + i, p->names + i + 1, (p->n - i - 1) * sizeof *p->names);
    p->n--;
    mutex_unlock(&r->store->lock);
    return true;
}

static bool removal_end(struct removal *r, struct err *err)
{
    struct stat st;
    return !r->any || stat(r->dir, &st) != 0 || dir_sync(r->dir, err);
}

/* Whether it has something of the deletions that wait, or nobody can say that it has not. */
static bool may_have_deleted(struct removal *r, const char *name, int64_t t0, int64_t t1)
{
    struct segment *segment = NULL;
    char path[PATH_BYTES];
    struct err why;
    if (path_join(path, r->dir, name, NULL))
        segment_open(path, NULL, &segment, &why);
    bool has = salvage_may_have(r->store, segment, t0, t1);
    segment_put(&segment);
    return has;
}

bool put_away_delete(struct store *store, struct err *err)
{
    struct removal r;
    bool ok = removal_init(&r, store, err);
    for (size_t i = 0; ok && i < store->put_away.n;) {
        const char *name = store->put_away.names[i];
        int64_t t0, t1;
        if (is_segment(name, &t0, &t1) && may_have_deleted(&r, name, t0, t1))
            ok = take(&r, i, "something of it is deleted, or may be", err);
        else
            i++;
    }
    return removal_end(&r, err) && ok;
}

bool put_away_purge(struct store *store, struct err *err)
{
    struct removal r;
    bool ok = removal_init(&r, store, err);
    for (size_t i = 0; ok && i < store->put_away.n;) {
        if (is_run(store->put_away.names[i]))
            ok = take(&r, i, "what state tables have forgotten is purged", err);
        else
            i++;
    }
    return removal_end(&r, err) && ok;
}

bool put_away_expire(struct store *store, put_away_goes *goes, void *ctx, struct err *err)
{
    struct removal r;
    bool ok = removal_init(&r, store, err);
    for (size_t i = 0; ok && i < store->put_away.n;) {
        int64_t t0, t1;
        if (is_segment(store->put_away.names[i], &t0, &t1) && goes(ctx, t0, t1))
            ok = take(&r, i, "it has its age", err);
        else
            i++;
    }
    return removal_end(&r, err) && ok;
}
