#include "store/deletion_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/mem.h"
#include "store/store_priv.h"

#define DELETIONS_FILE    "deletions"
#define DELETIONS_MAGIC   "LDEL"
#define DELETIONS_VERSION 2           /* written; 1 is read too */
#define DELETIONS_BYTES   (64u << 20) /* more is not read */

void deleted_ids_put(struct deleted_ids **ids)
{
    struct deleted_ids *d = *ids;
    *ids = NULL;
    if (d && atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
        free(d);
}

void deletion_fini(struct deletion *d)
{
    for (size_t i = 0; i < d->n_matchers; i++) {
        struct regex *regex = (struct regex *)(uintptr_t)d->matchers[i].regex;
        regex_free(&regex);
    }
    deleted_ids_put(&d->ids);
    arena_fini(&d->arena);
}

/* The file's content, for the first n. */
static void encode(const struct store *store, size_t n, struct buf *file)
{
    struct buf body;
    buf_init(&body, 0);
    buf_le32(&body, store->manifest.number);
    buf_le64(&body, store->manifest.edits);
    buf_varint(&body, n);
    for (size_t i = 0; i < n; i++) {
        const struct deletion *d = &store->deletions[i];
        buf_le64(&body, d->lsn);
        buf_le64(&body, (uint64_t)d->from);
        buf_le64(&body, (uint64_t)d->to);
        buf_varint(&body, d->n_matchers);
        for (size_t k = 0; k < d->n_matchers; k++) {
            buf_u8(&body, (uint8_t)d->matchers[k].op);
            buf_lstr(&body, d->matchers[k].name);
            buf_lstr(&body, d->matchers[k].value);
        }
    }
    buf_add(file, DELETIONS_MAGIC, 4);
    buf_le32(file, DELETIONS_VERSION);
    buf_le32(file, crc32c(0, buf_view(&body).ptr, buf_view(&body).len));
    buf_slice(file, buf_view(&body));
    buf_fini(&body);
}

bool deletions_save(struct store *store, size_t n, struct err *err)
{
    struct buf file;
    char path[PATH_BYTES];
    if (n == 0)
        return path_join(path, store->path, DELETIONS_FILE, err) && file_remove(path, err) &&
               dir_sync(store->path, err);
    buf_init(&file, 0);
    encode(store, n, &file);
    bool ok = file_replace(store->path, DELETIONS_FILE, buf_view(&file), err);
    buf_fini(&file);
    return ok;
}

bool deletions_may_be_saved(const struct store *store, size_t n)
{
    char path[PATH_BYTES];
    struct buf file, now;
    struct err err = {0};
    buf_init(&file, 0);
    buf_init(&now, 0);
    encode(store, n, &file);
    bool read = path_join(path, store->path, DELETIONS_FILE, &err) &&
                file_read(path, DELETIONS_BYTES, &now, &err);
    bool may = read ? slice_eq(buf_view(&now), buf_view(&file)) : err.sys != ENOENT;
    buf_fini(&now);
    buf_fini(&file);
    return may;
}

bool deletion_add_matcher(
    struct deletion *d, enum match_op op, struct slice name, struct slice value, struct err *err)
{
    struct matcher *m = &d->matchers[d->n_matchers];
    struct regex *regex = NULL;
    if ((op == MATCH_REGEX || op == MATCH_NOT_REGEX) && !regex_new(value, &regex, err))
        return false;
    *m = (struct matcher){op, arena_slice(&d->arena, name), arena_slice(&d->arena, value), regex};
    d->n_matchers++;
    return true;
}

bool deletion_select(struct store *store, struct deletion *d, struct err *err)
{
    const struct matcher *all[MATCHERS_MAX];
    struct arena arena;
    uint32_t *ids;
    size_t n;
    arena_init(&arena, 0);
    for (size_t i = 0; i < d->n_matchers; i++)
        all[i] = &d->matchers[i];
    bool ok = catalog_select(&store->catalog, all, d->n_matchers, &arena, &ids, &n, err);
    if (ok && n) {
        d->ids = xmalloc(sizeof *d->ids + n * sizeof *ids);
        atomic_init(&d->ids->refs, 1);
        d->ids->n = n;
        memcpy(d->ids->ids, ids, n * sizeof *ids);
    }
    arena_fini(&arena);
    return ok;
}

static bool read_deletion(struct reader *r, struct deletion *d, struct err *err)
{
    *d = (struct deletion){0};
    arena_init(&d->arena, 0);
    d->lsn = read_le64(r);
    d->from = (int64_t)read_le64(r);
    d->to = (int64_t)read_le64(r);
    uint64_t n = read_varint(r);
    if (n > MATCHERS_MAX)
        return err_set(err, ERR_CORRUPT, "%" PRIu64 " matchers", n);
    d->matchers = arena_array(&d->arena, n, sizeof *d->matchers);
    for (uint64_t i = 0; i < n && !r->failed; i++) {
        uint8_t op = read_u8(r);
        struct slice name = read_lstr(r), value = read_lstr(r);
        if (op > MATCH_NOT_REGEX)
            return err_set(err, ERR_CORRUPT, "matcher of kind %u", op);
        if (!r->failed && !deletion_add_matcher(d, (enum match_op)op, name, value, err))
            return false;
    }
    return true;
}

/* What a deletion covers was sealed before it. Without that edit of the manifest, whose damage may
 * look as if it had never ended, the log would show the cells again. */
static bool check_manifest(const struct store *store, struct reader *r, struct err *err)
{
    const struct manifest *m = &store->manifest;
    uint32_t number = read_le32(r);
    uint64_t edits = read_le64(r);
    if (m->number > number || (m->number == number && m->edits >= edits))
        return true;
    return err_set(err, ERR_CORRUPT,
        "%s/manifest-%06" PRIu32 " is damaged at byte %" PRIu64 ", behind edit %" PRIu64
        ": edit %" PRIu64 " of manifest-%06" PRIu32 " came before the last deletion",
        m->dir, m->number, m->bytes, m->edits, edits, number);
}

static bool read_all(struct store *store, struct slice file, struct err *err)
{
    struct reader r = reader_of(file);
    struct slice magic = read_bytes(&r, 4);
    uint32_t version = read_le32(&r), crc = read_le32(&r);
    if (r.failed || !slice_eq(magic, SLICE(DELETIONS_MAGIC)))
        return err_set(err, ERR_CORRUPT, "no file of deletions begins at byte 0");
    if (version == 0 || version > DELETIONS_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "version %u at byte 4", version);
    if (crc32c(0, r.at, reader_left(&r)) != crc)
        return err_set(err, ERR_CORRUPT, "the checksum at byte 8 does not hold");
    if (version > 1 && !check_manifest(store, &r, err))
        return false;
    uint64_t n = read_varint(&r);
    if (n > DELETIONS_MAX)
        return err_set(err, ERR_CORRUPT, "%" PRIu64 " deletions", n);
    store->deletions = xcalloc(DELETIONS_MAX, sizeof *store->deletions);
    while (store->n_deletions < n) {
        struct deletion *d = &store->deletions[store->n_deletions++];
        if (!read_deletion(&r, d, err) || !deletion_select(store, d, err))
            return false;
        d->number = ++store->deletions_made;
    }
    return (!r.failed && reader_left(&r) == 0) || err_set(err, ERR_CORRUPT, "it ends early");
}

static bool find_file(void *ctx, const char *name, struct err *err)
{
    (void)err;
    if (strcmp(name, DELETIONS_FILE) == 0)
        *(bool *)ctx = true;
    return true;
}

bool deletions_load(struct store *store, struct err *err)
{
    char path[PATH_BYTES];
    struct buf file;
    bool found = false;
    if (!dir_each(store->path, find_file, &found, err))
        return false;
    if (!found)
        return true;
    buf_init(&file, 0);
    bool ok = path_join(path, store->path, DELETIONS_FILE, err) &&
              file_read(path, DELETIONS_BYTES, &file, err);
    if (ok && !read_all(store, buf_view(&file), err))
        ok = err_wrap(err, "%s", path);
    buf_fini(&file);
    return ok;
}
