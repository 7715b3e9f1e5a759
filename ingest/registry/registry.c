#include "ingest/registry/registry.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ingest/registry/registry_fetch.h"

#define RETRY_MS_MIN 200
#define RETRY_MS_MAX 10000
#define CONFIRM_MS   1000   /* a schema that is not there is asked for once more */
#define CONFIRMS_MAX 20     /* so many in a minute; ids that are garbage are not worth it */
#define MISSING_MS   300000 /* how long one counts as not there */
#define MISSING_MAX  1024   /* entries without a schema that are kept */
#define IDLE_MS      3600000

enum entry_state { ENTRY_FREE, ENTRY_WANTED, ENTRY_KNOWN, ENTRY_MISSING };

struct entry {
    struct schema_ref ref;
    enum entry_state state;
    struct avro_schema *schema;
    struct err why;
    int64_t next_ms; /* wanted: when it is asked for; missing: when it is forgotten. Monotonic */
    bool denied;     /* the registry has said once that it is not there */
};

struct registry {
    struct registry_options options;
    struct arena texts;
    struct registry_fetch *fetch; /* the thread's */
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct entry *entries;
    size_t n_entries, entries_cap;
    struct map by_ref;
    int64_t retry_ms;    /* between two tries while the registry is away; 0: it is there */
    int64_t away_ms;     /* it is not asked before */
    int64_t confirms_ms; /* when the minute began in which so many */
    int confirms;
    size_t n_known, known_bytes;
};

static int64_t mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

/* ---- entries; the lock is held ---- */

static uint64_t ref_hash(const struct schema_ref *ref)
{
    return hash64(ref->bytes, sizeof ref->bytes) + ref->is_number;
}

static bool entry_is(const void *ctx, const void *key, uint32_t id)
{
    const struct registry *r = ctx;
    return schema_ref_eq(&r->entries[id].ref, key);
}

static void forget(struct registry *r, struct entry *e)
{
    map_remove(&r->by_ref, ref_hash(&e->ref), (uint32_t)(e - r->entries));
    e->state = ENTRY_FREE;
}

/* A place for one more: a free one, or that of the one that is missing longest. NULL: none. */
static struct entry *make_room(struct registry *r)
{
    struct entry *oldest = NULL;
    ensure(r->entries || r->n_entries == 0);
    for (size_t i = 0; i < r->n_entries; i++) {
        struct entry *e = &r->entries[i];
        if (e->state == ENTRY_FREE)
            return e;
        if (e->state == ENTRY_MISSING && (!oldest || e->next_ms < oldest->next_ms))
            oldest = e;
    }
    if (r->n_entries < REGISTRY_SCHEMAS_MAX + MISSING_MAX) {
        GROW(r->entries, r->entries_cap, r->n_entries + 1);
        return &r->entries[r->n_entries++];
    }
    if (oldest)
        forget(r, oldest);
    return oldest;
}

static struct entry *find(struct registry *r, const struct schema_ref *ref)
{
    uint32_t id = map_find(&r->by_ref, ref_hash(ref), entry_is, r, ref);
    return id == MAP_NONE ? NULL : &r->entries[id];
}

static struct entry *want(struct registry *r, const struct schema_ref *ref)
{
    struct entry *e = find(r, ref);
    if (e && e->state == ENTRY_MISSING && e->next_ms <= mono_ms()) {
        forget(r, e);
        e = NULL;
    }
    if (e)
        return e;
    if (r->n_known >= REGISTRY_SCHEMAS_MAX || r->known_bytes >= REGISTRY_BYTES_MAX)
        return NULL;
    e = make_room(r);
    if (!e)
        return NULL;
    *e = (struct entry){.ref = *ref, .state = ENTRY_WANTED, .next_ms = mono_ms()};
    map_insert(&r->by_ref, ref_hash(ref), (uint32_t)(e - r->entries));
    pthread_cond_signal(&r->wake);
    return e;
}

enum registry_answer registry_get(struct registry *registry, const struct schema_ref *ref,
    const struct avro_schema **schema, struct err *why)
{
    enum registry_answer answer = REGISTRY_WAIT;
    mutex_lock(&registry->lock);
    const struct entry *e = want(registry, ref);
    if (!e)
        err_set(why, ERR_LIMIT, "%d schemas, or %u bytes of them, are in use: no more are kept",
            REGISTRY_SCHEMAS_MAX, REGISTRY_BYTES_MAX);
    else if (why)
        *why = e->why;
    if (e && e->state == ENTRY_KNOWN) {
        *schema = e->schema;
        answer = REGISTRY_KNOWN;
    } else if (e && e->state == ENTRY_MISSING) {
        answer = REGISTRY_NONE;
    }
    mutex_unlock(&registry->lock);
    return answer;
}

/* ---- the thread ---- */

/* What is due first. Sleeps until something is; NULL: stop. The lock is held. */
static struct entry *next_wanted(struct registry *r)
{
    while (!atomic_load(&r->stop)) {
        struct entry *first = NULL;
        for (size_t i = 0; i < r->n_entries; i++) {
            struct entry *e = &r->entries[i];
            if (e->state == ENTRY_WANTED && (!first || e->next_ms < first->next_ms))
                first = e;
        }
        int64_t now = mono_ms(), due = first ? first->next_ms : now + IDLE_MS;
        due = r->away_ms > due ? r->away_ms : due;
        if (first && due <= now)
            return first;
        cond_wait_ms(&r->wake, &r->lock, due - now);
    }
    return NULL;
}

static bool is_final(const struct err *err)
{
    return err->code == ERR_NOT_FOUND || err->code == ERR_UNSUPPORTED || err->code == ERR_INVALID ||
           err->code == ERR_LIMIT;
}

/* It is away: everybody waits, longer with every failure. */
static void back_off(struct registry *r, const struct err *err)
{
    if (r->retry_ms == 0)
        log_warn("schema registry: %s; it is tried again", err->text);
    r->retry_ms = r->retry_ms ? r->retry_ms * 2 : RETRY_MS_MIN;
    if (r->retry_ms > RETRY_MS_MAX)
        r->retry_ms = RETRY_MS_MAX;
    r->away_ms = mono_ms() + r->retry_ms;
}

static void came_back(struct registry *r)
{
    if (r->retry_ms)
        log_info("schema registry: it answers again");
    r->retry_ms = r->away_ms = 0;
}

/* A registry of several servers may not know everywhere at once what was told to one of them. */
static bool may_confirm(struct registry *r)
{
    int64_t now = mono_ms();
    if (r->confirms_ms == 0 || now - r->confirms_ms >= 60000) {
        r->confirms_ms = now;
        r->confirms = 0;
    }
    if (r->confirms == CONFIRMS_MAX)
        return false;
    if (++r->confirms == CONFIRMS_MAX)
        log_warn("schema registry: it had no schema for %d ids in a minute; further ones are "
                 "believed at once, and not told",
            CONFIRMS_MAX);
    return true;
}

static void keep_known(struct registry *r, struct entry *e, struct avro_schema *schema)
{
    e->why = (struct err){0};
    e->schema = schema;
    e->state = ENTRY_KNOWN;
    r->n_known++;
    r->known_bytes += avro_schema_bytes(schema);
}

static void take_answer(struct registry *r, const struct schema_ref *ref, bool ok,
    struct avro_schema *schema, const struct err *err)
{
    struct entry *e = find(r, ref); /* entries may have moved; wanted ones stay */
    char text[SCHEMA_REF_TEXT];
    ensure(e != NULL);
    if (!ok)
        e->why = *err;
    if (ok) {
        came_back(r);
        keep_known(r, e, schema);
    } else if (!is_final(err)) {
        back_off(r, err);
        e->next_ms = r->away_ms; /* behind the others: it may be this one alone that fails */
    } else if (err->code == ERR_NOT_FOUND && !e->denied && may_confirm(r)) {
        came_back(r);
        e->denied = true;
        e->next_ms = mono_ms() + CONFIRM_MS;
    } else {
        came_back(r);
        if (err->code != ERR_NOT_FOUND || e->denied)
            log_warn("schema %s: %s", schema_ref_text(ref, text), err->text);
        e->state = ENTRY_MISSING;
        e->next_ms = mono_ms() + MISSING_MS;
    }
}

static void *run(void *arg)
{
    struct registry *r = arg;
    const struct entry *e;
    mutex_lock(&r->lock);
    while ((e = next_wanted(r))) {
        struct schema_ref ref = e->ref;
        struct avro_schema *schema = NULL;
        struct err err = {0};
        mutex_unlock(&r->lock);
        bool ok = registry_fetch_schema(r->fetch, &ref, &schema, &err);
        mutex_lock(&r->lock);
        if (ok || !atomic_load(&r->stop)) /* else it was told to end */
            take_answer(r, &ref, ok, schema, &err);
    }
    mutex_unlock(&r->lock);
    return NULL;
}

/* ---- life ---- */

static void copy_options(struct registry *r, const struct registry_options *from)
{
    struct registry_options *to = &r->options;
    struct slice *texts[] = {&to->user, &to->password, &to->token, &to->ca_file, &to->cert_file,
        &to->key_file, &to->region, &to->access_key, &to->secret_key, &to->session_token};
    *to = *from;
    for (size_t i = 0; i < to->n_urls; i++)
        to->urls[i] = arena_slice(&r->texts, to->urls[i]);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = arena_slice(&r->texts, *texts[i]);
}

bool registry_is(const struct registry *registry, const struct registry_options *options)
{
    const struct registry_options *a = &registry->options, *b = options;
    const struct slice *const texts[][2] = {{&a->user, &b->user}, {&a->password, &b->password},
        {&a->token, &b->token}, {&a->ca_file, &b->ca_file}, {&a->cert_file, &b->cert_file},
        {&a->key_file, &b->key_file}, {&a->region, &b->region}, {&a->access_key, &b->access_key},
        {&a->secret_key, &b->secret_key}, {&a->session_token, &b->session_token}};
    if (a->framing != b->framing || a->n_urls != b->n_urls || a->timeout_ms != b->timeout_ms)
        return false;
    for (size_t i = 0; i < a->n_urls; i++)
        if (!slice_eq(a->urls[i], b->urls[i]))
            return false;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (!slice_eq(*texts[i][0], *texts[i][1]))
            return false;
    return true;
}

struct registry *registry_new(const struct registry_options *options)
{
    struct registry *r = xcalloc(1, sizeof *r);
    arena_init(&r->texts, 0);
    copy_options(r, options);
    atomic_init(&r->stop, false);
    mutex_init(&r->lock);
    cond_init(&r->wake);
    map_init(&r->by_ref);
    r->fetch = registry_fetch_new(&r->options, &r->stop);
    thread_start(&r->thread, "registry", run, r);
    return r;
}

void registry_free(struct registry **registry)
{
    struct registry *r = *registry;
    *registry = NULL;
    if (!r)
        return;
    atomic_store(&r->stop, true);
    mutex_lock(&r->lock);
    pthread_cond_signal(&r->wake);
    mutex_unlock(&r->lock);
    thread_join(r->thread);
    registry_fetch_free(&r->fetch);
    for (size_t i = 0; i < r->n_entries; i++)
        if (r->entries[i].state == ENTRY_KNOWN)
            avro_schema_free(&r->entries[i].schema);
    free(r->entries);
    map_fini(&r->by_ref);
    pthread_cond_destroy(&r->wake);
    pthread_mutex_destroy(&r->lock);
    arena_fini(&r->texts);
    free(r);
}
