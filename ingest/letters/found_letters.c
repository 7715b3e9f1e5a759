#include "ingest/letters/found_letters.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash_set.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "ingest/letters/letter.h"
#include "ingest/partition.h"

/* Partitions that are watched; those of more topics than anybody reads are not. */
#define SOURCES_MAX 65536

struct source_end {
    char name[PARTITION_NAME_MAX];
    int64_t offset; /* the greatest of a record whose letter was found */
};

struct found_letters {
    struct hash_set ids;
    struct map sources_map;
    struct source_end *sources;
    size_t n_sources, sources_cap;
};

struct found_letters *found_letters_new(void)
{
    struct found_letters *f = xcalloc(1, sizeof *f);
    hash_set_init(&f->ids);
    map_init(&f->sources_map);
    return f;
}

void found_letters_free(struct found_letters **found)
{
    struct found_letters *f = *found;
    *found = NULL;
    if (!f)
        return;
    hash_set_fini(&f->ids);
    map_fini(&f->sources_map);
    free(f->sources);
    free(f);
}

void found_letters_clear(struct found_letters *found)
{
    hash_set_clear(&found->ids);
    map_clear(&found->sources_map);
    found->n_sources = 0;
}

/* ---- their records ---- */

static bool source_is(const void *ctx, const void *key, uint32_t id)
{
    const struct found_letters *f = ctx;
    return slice_is(*(const struct slice *)key, f->sources[id].name);
}

static struct source_end *source_of(struct found_letters *f, struct slice name)
{
    uint64_t hash = hash128(name.ptr, name.len).lo;
    uint32_t i = map_find(&f->sources_map, hash, source_is, f, &name);
    if (i != MAP_NONE)
        return &f->sources[i];
    if (f->n_sources == SOURCES_MAX)
        return NULL;
    GROW(f->sources, f->sources_cap, f->n_sources + 1);
    struct source_end *s = &f->sources[f->n_sources];
    memcpy(s->name, name.ptr, name.len);
    s->name[name.len] = 0;
    s->offset = -1;
    map_insert(&f->sources_map, hash, (uint32_t)f->n_sources++);
    return s;
}

/* A place that does not read is nobody's. */
static void watch_source(struct found_letters *f, struct slice place)
{
    struct letter_place p;
    if (!letter_place_parse(place, &p) || p.partition.len >= PARTITION_NAME_MAX)
        return;
    struct source_end *s = source_of(f, p.partition);
    if (s && s->offset < p.offset)
        s->offset = p.offset;
}

bool found_letters_are_read(const struct found_letters *found, struct store *store)
{
    struct source_state state;
    for (size_t i = 0; i < found->n_sources; i++)
        if (!store_source(store, slice_from(found->sources[i].name), &state) ||
            state.next <= found->sources[i].offset)
            return false;
    return true;
}

/* ---- letters ---- */

bool found_letters_has(const struct found_letters *found, struct hash128 id)
{
    return hash_set_has(&found->ids, id);
}

void found_letters_add(struct found_letters *found, struct slice place)
{
    struct found_letters *f = found;
    struct hash128 id = hash128(place.ptr, place.len);
    if (!hash_set_has(&f->ids, id) && f->ids.n == FOUND_LETTERS_MAX) {
        log_warn("more than %u dead letters were sent since the data folder was as it is now: "
                 "the oldest of them may be sent again",
            FOUND_LETTERS_MAX);
        hash_set_clear(&f->ids);
    }
    if (hash_set_add(&f->ids, id))
        watch_source(f, place);
}

size_t found_letters_count(const struct found_letters *found)
{
    return found->ids.n;
}
