#include "ingest/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ingest/source_names.h"

#define FIRST    "first/"
#define QUIET_MS 2000

/* ---- positions ---- */

static int64_t position_of(struct store *store, struct slice name)
{
    struct source_state state;
    return store_source(store, name, &state) && state.next > 0 ? state.next : 0;
}

/* Nobody reads it any more, here or there. */
static bool is_given_up(struct store *followed, struct slice name)
{
    struct source_state state;
    struct partition p;
    return store_source(followed, name, &state) &&
           partition_decode(slice_of(state.state, state.state_len), &p) && p.marks.given_up;
}

static bool takes(struct store *followed, const struct kafka_record *record)
{
    struct partition *p = record->partition;
    if (!p->parked && record->offset >= p->until)
        p->until = position_of(followed, slice_from(p->name));
    if (!p->ahead && !p->parked && record->offset >= p->until) {
        p->ahead = true;
        p->stop_at = record->offset;
    }
    if (p->ahead)
        return false;
    if (p->first < 0) {
        p->first = record->offset;
        p->first_ms = record->timestamp_ms;
    }
    return true;
}

size_t follow_takes(struct store *followed, struct kafka_record *records, size_t n)
{
    size_t left = 0;
    for (size_t i = 0; i < n; i++)
        if (takes(followed, &records[i]))
            records[left++] = records[i];
    return left;
}

/* One that waits at an earlier record already comes by this one again. */
void follow_stop(struct kafka_source *source)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(source, &all);
    for (size_t i = 0; i < n; i++) {
        struct partition *p = all[i];
        if (!p->ahead || p->stop_at < 0)
            continue;
        if (p->parked)
            p->ahead = false;
        else
            kafka_source_park(source, p, p->stop_at, "it has read all that is counted already");
        p->stop_at = -1;
    }
}

void follow_resume(struct store *followed, struct kafka_source *source, int64_t now_ms)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(source, &all);
    for (size_t i = 0; i < n; i++) {
        struct partition *p = all[i];
        if (!p->ahead || (p->until = position_of(followed, slice_from(p->name))) <= p->next)
            continue;
        p->ahead = false;
        p->quiet_ms = now_ms;
        kafka_source_unpark(source, p);
    }
}

/* ---- how far it is behind ---- */

/* Where no record comes up to the other's position, since it was moved there, say, librdkafka's
 * word is taken, once it is old enough. */
static int64_t passed_by(const struct partition *p, int64_t now_ms)
{
    bool settled = p->reading && !p->parked && !p->anew && now_ms - p->quiet_ms >= QUIET_MS;
    int64_t passed = settled && p->passed > p->next ? p->passed : p->next;
    return passed > 0 ? passed : 0;
}

struct follower {
    struct store *followed;
    size_t n_streams;
    struct stream_topics *topics;
    int64_t *behind;            /* by stream */
    struct partition **by_name; /* the source's */
    size_t n_by_name;
    struct source_names asked;  /* what the other had read when the topics were asked for */
    struct source_names absent; /* of it, what was not there; its items are of its own arena */
};

struct follower *follower_new(struct store *followed, const struct streams *streams)
{
    struct follower *f = xcalloc(1, sizeof *f);
    f->followed = followed;
    f->n_streams = streams->n_streams;
    f->topics = stream_topics_new(streams);
    f->behind = xcalloc(streams->n_streams + 1, sizeof *f->behind);
    return f;
}

void follower_free(struct follower **follower)
{
    struct follower *f = *follower;
    *follower = NULL;
    if (!f)
        return;
    stream_topics_free(&f->topics);
    source_names_free(&f->asked);
    source_names_free(&f->absent);
    free(f->by_name);
    free(f->behind);
    free(f);
}

static int compare_names(const void *a, const void *b)
{
    const struct partition *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

/* They have stable addresses, and none goes. */
static void sort_partitions(struct follower *f, struct kafka_source *source)
{
    struct partition *const *all;
    size_t n = kafka_source_partitions(source, &all);
    if (n == f->n_by_name)
        return;
    f->by_name = xreallocarray(f->by_name, n, sizeof(void *));
    memcpy(f->by_name, all, n * sizeof(void *));
    qsort(f->by_name, n, sizeof(void *), compare_names);
    f->n_by_name = n;
}

static int compare_name(const void *name, const void *partition)
{
    const struct partition *const *p = partition;
    return slice_cmp(*(const struct slice *)name, slice_from((*p)->name));
}

/* NULL: the source does not have it. */
static const struct partition *find_partition(const struct follower *f, struct slice name)
{
    struct partition *const *found =
        f->n_by_name ? bsearch(&name, f->by_name, f->n_by_name, sizeof(void *), compare_name)
                     : NULL;
    return found ? *found : NULL;
}

static bool is_absent(const struct follower *f, struct slice name)
{
    for (size_t i = 0; i < f->absent.n; i++)
        if (slice_eq(f->absent.items[i], name))
            return true;
    return false;
}

void follower_look(struct follower *follower, struct kafka_source *source, int64_t now_ms)
{
    struct follower *f = follower;
    struct source_names names;
    for (size_t s = 0; s < f->n_streams; s++)
        f->behind[s] = kafka_source_knows(source, s) ? 0 : INT64_MAX;
    sort_partitions(f, source);
    source_names_read(f->followed, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++) {
        int stream = stream_topics_of(f->topics, names.items[i]);
        if (stream < 0 || f->behind[stream] == INT64_MAX)
            continue;
        const struct partition *p = find_partition(f, names.items[i]);
        int64_t left = position_of(f->followed, names.items[i]) - (p ? passed_by(p, now_ms) : 0);
        if (left > 0 && (p || !is_absent(f, names.items[i])))
            f->behind[stream] += left;
    }
    source_names_free(&names);
}

int64_t follower_behind(const struct follower *follower, size_t stream)
{
    return follower->behind[stream];
}

void follower_asks(struct follower *follower)
{
    source_names_free(&follower->asked);
    source_names_read(follower->followed, SLICE(""), &follower->asked);
}

void follower_listed(struct follower *follower, struct kafka_source *source, bool all)
{
    struct follower *f = follower;
    if (!all)
        return;
    sort_partitions(f, source);
    source_names_free(&f->absent);
    arena_init(&f->absent.arena, 0);
    for (size_t i = 0; i < f->asked.n; i++) {
        struct slice name = f->asked.items[i];
        if (stream_topics_of(f->topics, name) < 0 || find_partition(f, name))
            continue;
        GROW(f->absent.items, f->absent.cap, f->absent.n + 1);
        f->absent.items[f->absent.n++] = arena_slice(&f->absent.arena, name);
    }
}

/* ---- clocks ---- */

void follow_clocks(struct store *followed, const struct stream *stream, bool level,
    int64_t *frontier_ms, int64_t *watermark_ms)
{
    int64_t frontier, watermark;
    if (!store_clock(followed, stream->name, &frontier, &watermark))
        frontier = watermark = INT64_MIN;
    if (level || frontier < *frontier_ms)
        *frontier_ms = frontier;
    if (level || watermark < *watermark_ms)
        *watermark_ms = watermark;
}

/* ---- first records ---- */

struct first_name {
    char text[PARTITION_NAME_MAX + sizeof FIRST];
};

static struct slice first_name(struct slice partition, struct first_name *out)
{
    snprintf(out->text, sizeof out->text, FIRST "%.*s", SLICE_FMT(partition));
    return slice_from(out->text);
}

void follow_recall(struct store *store, struct partition *partition)
{
    struct first_name name;
    struct source_state state;
    if (!store_source(store, first_name(slice_from(partition->name), &name), &state))
        return;
    partition->first = state.next;
    partition->first_ms = state.newest_ms;
}

void follow_write(const struct partition *partition, struct txn *txn)
{
    struct first_name name;
    if (partition->first >= 0)
        txn_source(txn, first_name(slice_from(partition->name), &name), partition->first,
            partition->first_ms, SLICE(""));
}

static bool first_of(struct store *store, struct slice partition, struct source_state *out)
{
    struct first_name name;
    return store_source(store, first_name(partition, &name), out);
}

/* Whether records lie in the order of timestamps, and those say how late events may be. */
static bool is_in_order(const struct stream *stream, struct slice name)
{
    const char *slash = memrchr(name.ptr, '/', name.len);
    struct slice topic = slice_of(name.ptr, (size_t)(slash - name.ptr));
    return !stream->contract.arrival_partition &&
           !(stream->retry.len && slice_eq(topic, stream->retry));
}

/* An event lies at most `ahead` after its record. Of a log that has nothing left, what was read of
 * it is lost. */
static int64_t lost_until(const struct stream *stream, struct slice name, bool found,
    const struct source_state *first, const struct source_state *read)
{
    int64_t ms;
    if (read->next <= 0 || (found && first->next == 0))
        return INT64_MIN;
    if (!found || first->newest_ms == INT64_MIN || !is_in_order(stream, name))
        return read->newest_ms;
    bool over = __builtin_add_overflow(first->newest_ms, stream->contract.ahead_ms, &ms);
    return over ? INT64_MAX : ms;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

struct follow_span follow_span_of(
    struct store *store, struct store *followed, const struct streams *streams)
{
    struct follow_span span = {INT64_MIN, INT64_MIN};
    struct stream_topics *topics = stream_topics_new(streams);
    struct source_state first, read;
    struct source_names names;
    source_names_read(followed, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++) {
        int stream = stream_topics_of(topics, names.items[i]);
        if (stream < 0 || !store_source(followed, names.items[i], &read))
            continue;
        bool found = first_of(store, names.items[i], &first);
        span.whole_after_ms = later(span.whole_after_ms,
            lost_until(&streams->streams[stream], names.items[i], found, &first, &read));
        span.newest_ms = later(span.newest_ms, read.newest_ms);
    }
    source_names_free(&names);
    stream_topics_free(&topics);
    return span;
}

void follow_progress(struct store *store, struct store *followed, const struct streams *streams,
    uint64_t *done, uint64_t *all)
{
    struct stream_topics *topics = stream_topics_new(streams);
    struct source_names names;
    struct source_state first;
    *done = *all = 0;
    source_names_read(followed, SLICE(""), &names);
    for (size_t i = 0; i < names.n; i++) {
        if (stream_topics_of(topics, names.items[i]) < 0 || is_given_up(followed, names.items[i]))
            continue;
        int64_t begin = first_of(store, names.items[i], &first) ? first.next : 0;
        int64_t end = position_of(followed, names.items[i]),
                at = position_of(store, names.items[i]);
        *all += end > begin ? (uint64_t)(end - begin) : 0;
        *done += at > begin ? (uint64_t)(at - begin) : 0;
    }
    source_names_free(&names);
    stream_topics_free(&topics);
}
