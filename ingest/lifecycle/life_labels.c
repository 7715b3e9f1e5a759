#include "ingest/lifecycle/life_labels.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/ensure.h"
#include "base/map.h"
#include "base/mem.h"
#include "store/state/state.h"

#define PIECE_BYTES 128
#define BYTES_MAX   (4 + LIFECYCLE_LABELS_MAX * (2 + FIELD_STRING_MAX))
/* All in one generation, which is never dropped. */
#define GENERATION 0

struct entry {
    uint64_t hash;
    struct slice bytes; /* as stored, without zeros */
    struct slice texts[LIFECYCLE_LABELS_MAX];
    bool stored;
};

struct life_labels {
    struct store *store;
    const struct lifecycle *lifecycle;
    char name[STATE_TABLE_NAME_MAX + 1];
    struct arena arena;
    size_t memory_bytes;
    struct entry *entries;
    size_t n, cap, n_stored; /* those behind n_stored are new in this batch */
    size_t new_bytes;        /* of these, as they are written */
    struct map by_hash;
    struct buf bytes, wanted;
};

struct life_labels *life_labels_new(
    struct store *store, const struct lifecycle *lifecycle, size_t memory_bytes)
{
    struct life_labels *l = xcalloc(1, sizeof *l);
    l->store = store;
    l->lifecycle = lifecycle;
    l->memory_bytes = memory_bytes;
    snprintf(l->name, sizeof l->name, "lifecycle/%.*s/labels", SLICE_FMT(lifecycle->name));
    arena_init(&l->arena, 0); /* bounded by memory_bytes and a batch */
    map_init(&l->by_hash);
    buf_init(&l->bytes, BYTES_MAX + PIECE_BYTES);
    buf_init(&l->wanted, BYTES_MAX);
    return l;
}

void life_labels_bound(struct life_labels *labels, size_t memory_bytes)
{
    labels->memory_bytes = memory_bytes;
}

size_t life_labels_bytes(const struct life_labels *labels)
{
    return labels->arena.used_bytes + labels->cap * sizeof *labels->entries +
           map_bytes(&labels->by_hash);
}

void life_labels_free(struct life_labels **labels)
{
    struct life_labels *l = *labels;
    *labels = NULL;
    if (!l)
        return;
    map_fini(&l->by_hash);
    arena_fini(&l->arena);
    buf_fini(&l->bytes);
    buf_fini(&l->wanted);
    free(l->entries);
    free(l);
}

static bool hash_is(const void *ctx, const void *key, uint32_t id)
{
    const struct life_labels *l = ctx;
    return l->entries[id].hash == *(const uint64_t *)key;
}

static const struct entry *find(const struct life_labels *l, uint64_t hash)
{
    uint32_t id = map_find(&l->by_hash, hash, hash_is, l, &hash);
    return id == MAP_NONE ? NULL : &l->entries[id];
}

/* ---- as bytes ---- */

static bool split(const struct life_labels *l, struct slice bytes, struct slice *texts)
{
    struct reader r = reader_of(bytes);
    read_le32(&r);
    for (size_t i = 0; i < l->lifecycle->n_labels; i++)
        texts[i] = read_bytes(&r, read_le16(&r));
    return !r.failed && reader_left(&r) == 0;
}

static bool add(struct life_labels *l, uint64_t hash, struct slice bytes, bool stored)
{
    struct entry e = {.hash = hash, .bytes = arena_slice(&l->arena, bytes), .stored = stored};
    if (!split(l, e.bytes, e.texts))
        return false;
    GROW(l->entries, l->cap, l->n + 1);
    map_insert(&l->by_hash, hash, (uint32_t)l->n);
    l->entries[l->n++] = e;
    return true;
}

static struct hash128 piece_key(uint64_t hash, uint64_t piece)
{
    uint8_t bytes[16];
    le64_put(bytes, hash);
    le64_put(bytes + 8, piece);
    return hash128(bytes, sizeof bytes);
}

/* Reads what the table has into `bytes`; *found: anything. */
static bool read_table(struct life_labels *l, uint64_t hash, bool *found, struct err *err)
{
    uint32_t table, record_bytes;
    size_t total = 4;
    *found = false;
    buf_clear(&l->bytes);
    if (!store_state_table(l->store, slice_from(l->name), &table, &record_bytes, err))
        return true;
    for (uint64_t piece = 0; l->bytes.len < total; piece++) {
        char *room = buf_reserve(&l->bytes, PIECE_BYTES);
        if (!room || record_bytes != PIECE_BYTES)
            return err_set(err, ERR_CORRUPT, "state table %s: labels make no sense", l->name);
        if (!store_state_get(l->store, table, GENERATION, piece_key(hash, piece), room, found, err))
            return false;
        if (!*found)
            return piece == 0 ||
                   err_set(err, ERR_CORRUPT, "state table %s: labels are not whole", l->name);
        l->bytes.len += PIECE_BYTES;
        if (piece == 0)
            total = le32_get(l->bytes.ptr);
    }
    l->bytes.len = total;
    return true;
}

/* In memory, or from the table. NULL: there is none, or it cannot be read: then err says so. */
static bool look(struct life_labels *l, uint64_t hash, const struct entry **out, struct err *err)
{
    bool found;
    if ((*out = find(l, hash)))
        return true;
    if (!read_table(l, hash, &found, err))
        return false;
    if (found && !add(l, hash, buf_view(&l->bytes), true))
        return err_set(err, ERR_CORRUPT, "state table %s: labels make no sense", l->name);
    *out = find(l, hash);
    return true;
}

/* ---- */

static void put_event(struct buf *out, const struct lifecycle *lifecycle, const struct event *event)
{
    char number[LABEL_NUMBER_MAX];
    buf_clear(out);
    buf_le32(out, 0);
    for (size_t i = 0; i < lifecycle->n_labels; i++) {
        int field = lifecycle->labels[i];
        struct slice text =
            label_field_text(&event->contract->fields[field], &event->v[field], number);
        buf_le16(out, (uint16_t)text.len);
        buf_slice(out, text);
    }
    le32_put(out->ptr, (uint32_t)out->len);
    ensure(!out->failed);
}

bool life_labels_keep(
    struct life_labels *labels, const struct event *event, uint64_t *hash, struct err *err)
{
    struct life_labels *l = labels;
    const struct entry *e = NULL;
    bool ok = true;
    put_event(&l->wanted, l->lifecycle, event);
    *hash = hash64(l->wanted.ptr, l->wanted.len);
    while ((ok = look(l, *hash, &e, err)) && e && !slice_eq(e->bytes, buf_view(&l->wanted)))
        ++*hash;
    if (ok && !e) {
        ensure(add(l, *hash, buf_view(&l->wanted), false));
        l->new_bytes += (l->wanted.len / PIECE_BYTES + 1) * (PIECE_BYTES + sizeof(struct hash128));
    }
    return ok;
}

size_t life_labels_batch_bytes(const struct life_labels *labels)
{
    return labels->new_bytes;
}

bool life_labels_load(struct life_labels *labels, uint64_t hash, struct err *err)
{
    const struct entry *e;
    if (!look(labels, hash, &e, err))
        return false;
    return e || err_set(err, ERR_CORRUPT, "state table %s: labels are missing", labels->name);
}

static struct slice stage_text(const struct lifecycle *lifecycle, int stage)
{
    if (stage < 0)
        return SLICE("");
    return stage == lifecycle->rules.n_stages ? SLICE(LIFECYCLE_EXPIRED_TEXT)
                                              : lifecycle->stages[stage].name;
}

void life_labels_values(const struct life_labels *labels, const struct rollup *rollup,
    const struct life_output *output, struct label_values *out)
{
    const struct entry *e = find(labels, output->labels);
    ensure(e != NULL);
    for (size_t i = 0; i < rollup->n_labels; i++) {
        const struct rollup_label *label = &rollup->labels[i];
        switch (label->from) {
        case LABEL_OUTCOME: out->values[i] = stage_text(labels->lifecycle, output->outcome); break;
        case LABEL_STEP_FROM: out->values[i] = stage_text(labels->lifecycle, output->from); break;
        case LABEL_STEP_TO: out->values[i] = stage_text(labels->lifecycle, output->to); break;
        default: out->values[i] = e->texts[label->first];
        }
    }
}

/* ---- the batch ---- */

bool life_labels_write(struct life_labels *labels, struct txn *txn, struct err *err)
{
    uint8_t piece[PIECE_BYTES];
    uint32_t table;
    if (!txn_state_table(txn, slice_from(labels->name), PIECE_BYTES, &table, err))
        return false;
    for (size_t i = labels->n_stored; i < labels->n; i++) {
        const struct entry *e = &labels->entries[i];
        for (size_t at = 0; !e->stored && at < e->bytes.len; at += PIECE_BYTES) {
            size_t n = e->bytes.len - at < PIECE_BYTES ? e->bytes.len - at : PIECE_BYTES;
            memset(piece, 0, sizeof piece);
            memcpy(piece, e->bytes.ptr + at, n);
            txn_state_put(txn, table, GENERATION, piece_key(e->hash, at / PIECE_BYTES), piece);
        }
    }
    return true;
}

void life_labels_clear(struct life_labels *labels)
{
    labels->new_bytes = 0;
    for (; labels->n_stored < labels->n; labels->n_stored++)
        labels->entries[labels->n_stored].stored = true;
    if (life_labels_bytes(labels) <= labels->memory_bytes)
        return;
    free(labels->entries);
    labels->entries = NULL;
    labels->n = labels->n_stored = labels->cap = 0;
    map_fini(&labels->by_hash);
    arena_fini(&labels->arena);
    arena_init(&labels->arena, 0);
}
