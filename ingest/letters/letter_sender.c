#include "ingest/letters/letter_sender.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ingest/letters/kafka_client.h"
#include "ingest/letters/letter_producer.h"
#include "ingest/letters/letter_tail.h"

/* Of one transaction. */
#define SEND_LETTERS    2000
#define SEND_BYTES      (8u << 20)
#define IDLE_MS         1000
#define BACKOFF_MS      500
#define BACKOFF_MAX_MS  15000
#define COMMIT_RETRY_MS 500
/* Letters that were found in tails and are kept in mind: a data folder that was put back as it was
 * refuses again what it had refused. */
#define FOUND_MAX (1u << 20)

/* A dead-letter topic; several streams may have one. */
struct target {
    char topic[256];
    bool read;          /* its tail, by the producer that is open */
    size_t large_bytes; /* a letter of so many is too large for it; SIZE_MAX: none was */
};

/* Letters of one outbox on their way. */
struct parcel {
    uint64_t to; /* the chunk behind the last one */
    uint64_t n;  /* letters, those that are skipped too */
    size_t sent; /* of them, given to the producer */
    size_t bytes;
};

/* The thread owns all but `trouble`, which `lock` guards; who wakes it touches `awake` alone. */
struct letter_sender {
    struct store *store;
    struct ingest_options options;
    struct letters *letters;
    char instance[256];
    struct letter_producer *producer; /* NULL: none is open */
    struct target *targets;
    size_t n_targets;
    size_t *target_of; /* by stream */
    struct target *reading;
    struct map found_map; /* of found */
    struct hash128 *found;
    size_t n_found, found_cap;
    struct buf bytes; /* of one letter */
    struct arena arena;
    uint64_t alone;      /* so many letters go one by one, for one of them was too large */
    enum letter_cut cut; /* of the first of them */
    int64_t backoff_ms;
    char round[ERR_TEXT_MAX]; /* what has held up this round */
    bool fenced;
    pthread_t thread;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool awake;
    char trouble[ERR_TEXT_MAX];
};

/* ---- what is said ---- */

static void say(struct letter_sender *s, const char *text)
{
    mutex_lock(&s->lock);
    bool news = strcmp(s->trouble, text) != 0;
    snprintf(s->trouble, sizeof s->trouble, "%s", text);
    mutex_unlock(&s->lock);
    if (news && text[0])
        log_warn("%s", text);
    else if (news)
        log_info("dead letters are sent again");
}

static void wait(struct letter_sender *s, int64_t ms)
{
    mutex_lock(&s->lock);
    if (!s->awake && !atomic_load(&s->stop))
        cond_wait_ms(&s->wake, &s->lock, ms);
    s->awake = false;
    mutex_unlock(&s->lock);
}

/* A letter more is no reason to try earlier. */
static void wait_after_failure(struct letter_sender *s)
{
    for (int64_t left = s->backoff_ms; left > 0 && !atomic_load(&s->stop); left -= BACKOFF_MS)
        clock_sleep_ms(left < BACKOFF_MS ? left : BACKOFF_MS);
    s->backoff_ms = s->backoff_ms * 2 < BACKOFF_MAX_MS ? s->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void note_fence(struct letter_sender *s)
{
    s->fenced = true;
    snprintf(s->round, sizeof s->round,
        "dead letters are not sent any more: another instance of '%s' has taken over; two that "
        "run at once need a 'group.id' each",
        s->instance);
}

static void note_failure(struct letter_sender *s, const struct err *err)
{
    snprintf(s->round, sizeof s->round, "dead letters wait: %.700s", err->text);
}

/* ---- what was found in tails ---- */

static bool found_is(const void *ctx, const void *key, uint32_t id)
{
    const struct letter_sender *s = ctx;
    return hash128_eq(s->found[id], *(const struct hash128 *)key);
}

static bool is_found(const struct letter_sender *s, struct hash128 id)
{
    return map_find(&s->found_map, id.lo, found_is, s, &id) != MAP_NONE;
}

static void keep_found(void *ctx, struct hash128 id)
{
    struct letter_sender *s = ctx;
    if (is_found(s, id))
        return;
    if (s->n_found == FOUND_MAX) {
        log_warn("more than %u dead letters were sent since the data folder was as it is now: "
                 "the oldest of them may be sent again",
            FOUND_MAX);
        s->n_found = 0;
        map_clear(&s->found_map);
    }
    GROW(s->found, s->found_cap, s->n_found + 1);
    map_insert(&s->found_map, id.lo, (uint32_t)s->n_found);
    s->found[s->n_found++] = id;
}

/* ---- positions of topics ---- */

static const char *position_name(const struct target *target, int32_t partition, char out[320])
{
    snprintf(out, 320, "dead-letters/%s/%" PRId32, target->topic, partition);
    return out;
}

static int64_t position_of(void *ctx, int32_t partition)
{
    struct letter_sender *s = ctx;
    struct source_state state;
    char name[320];
    position_name(s->reading, partition, name);
    return store_source(s->store, slice_from(name), &state) ? state.next : -1;
}

/* Positions go into the transaction that is open; NULL: into one of their own. */
struct positions {
    struct letter_sender *sender;
    const struct target *target;
    struct txn *txn;
};

static void put_position(void *ctx, int32_t partition, int64_t next)
{
    struct positions *p = ctx;
    char name[320];
    txn_source(
        p->txn, slice_from(position_name(p->target, partition, name)), next, INT64_MIN, SLICE(""));
}

/* Until it works, or all is to stop: what was sent is found again by the next start. */
static bool commit(struct letter_sender *s, struct outbox *outbox, const struct target *target,
    const struct parcel *parcel)
{
    struct err err;
    while (!atomic_load(&s->stop)) {
        struct positions positions = {s, target, txn_begin(s->store)};
        if (outbox_write_sent(outbox, positions.txn, parcel->to, parcel->n, &err)) {
            letter_producer_each_sent(s->producer, put_position, &positions);
            if (txn_commit(&positions.txn, NULL, &err)) {
                outbox_sent(outbox, parcel->to, parcel->n);
                return true;
            }
        }
        txn_abort(&positions.txn);
        err_wrap(&err, "dead letters wait: the outbox cannot be written");
        say(s, err.text);
        clock_sleep_ms(COMMIT_RETRY_MS);
    }
    return false;
}

/* ---- opening ---- */

struct tail_ends {
    int32_t *partition;
    int64_t *offset;
    size_t n, partition_cap, offset_cap;
    struct letter_sender *sender;
};

static int64_t tail_from(void *ctx, int32_t partition)
{
    return position_of(((struct tail_ends *)ctx)->sender, partition);
}

static void tail_found(void *ctx, struct hash128 id)
{
    keep_found(((struct tail_ends *)ctx)->sender, id);
}

static void tail_end(void *ctx, int32_t partition, int64_t offset)
{
    struct tail_ends *e = ctx;
    GROW(e->partition, e->partition_cap, e->n + 1);
    GROW(e->offset, e->offset_cap, e->n + 1);
    e->partition[e->n] = partition;
    e->offset[e->n++] = offset;
}

/* Where nothing was ever sent the tail begins at what is its end now; that must be known before the
 * first letter is sent. */
static bool keep_ends(struct letter_sender *s, const struct tail_ends *e, struct err *err)
{
    bool new = false;
    for (size_t i = 0; i < e->n; i++)
        new |= position_of(s, e->partition[i]) < 0;
    if (!new)
        return true;
    struct positions positions = {s, s->reading, txn_begin(s->store)};
    for (size_t i = 0; i < e->n; i++)
        if (position_of(s, e->partition[i]) < 0)
            put_position(&positions, e->partition[i], e->offset[i]);
    if (txn_commit(&positions.txn, NULL, err))
        return true;
    txn_abort(&positions.txn);
    return false;
}

static bool read_tail(struct letter_sender *s, struct target *target, struct err *err)
{
    struct tail_ends ends = {.sender = s};
    struct letter_tail tail = {
        &s->options, target->topic, s->instance, &s->stop, tail_from, tail_found, tail_end, &ends};
    s->reading = target;
    target->read = letter_tail_read(&tail, err) && keep_ends(s, &ends, err);
    free(ends.partition);
    free(ends.offset);
    return target->read;
}

static enum producer_answer open_producer(struct letter_sender *s, struct err *err)
{
    if (s->producer)
        return PRODUCER_DONE;
    for (size_t i = 0; i < s->n_targets; i++)
        s->targets[i].read = false;
    if (!letter_producer_new(&s->options, s->instance, &s->stop, &s->producer, err))
        return PRODUCER_AGAIN;
    return letter_producer_open(s->producer, err);
}

/* ---- sending ---- */

/* Adds the letter at parcel->to, unless it is there already, and moves on. *end: there is none. */
static enum producer_answer add_next(struct letter_sender *s, size_t stream, struct outbox *outbox,
    struct parcel *parcel, bool *end, struct err *err)
{
    const struct target *target = &s->targets[s->target_of[stream]];
    struct letter letter;
    uint64_t next;
    bool found;
    arena_reset(&s->arena);
    if (!outbox_read(outbox, parcel->to, &s->bytes, &next, &found, err))
        return PRODUCER_AGAIN;
    *end = !found;
    if (!found)
        return PRODUCER_DONE;
    if (!letter_decode(buf_view(&s->bytes), &s->arena, &letter, err))
        return PRODUCER_AGAIN;
    if (!is_found(s, letter_id(&letter))) {
        enum producer_answer answer = PRODUCER_DONE;
        letter_cut(&letter, s->bytes.len >= target->large_bytes ? LETTER_SMALL : LETTER_WHOLE);
        letter_cut(&letter, s->cut);
        if (parcel->sent++ == 0)
            answer = letter_producer_begin(s->producer, err);
        if (!answer)
            answer = letter_producer_add(
                s->producer, target->topic, s->options.streams->streams[stream].name, &letter, err);
        if (answer)
            return answer;
        parcel->bytes += s->bytes.len;
    }
    parcel->to = next;
    parcel->n++;
    return PRODUCER_DONE;
}

/* One of the letters is: they go one by one, and that one is cut. False: it cannot be cut more. */
static bool note_too_large(
    struct letter_sender *s, struct target *target, const struct parcel *parcel, struct err *err)
{
    if (parcel->sent > 1) {
        s->alone = parcel->n + 1;
        return true;
    }
    if (s->cut == LETTER_WHOLE && s->bytes.len < target->large_bytes)
        target->large_bytes = s->bytes.len;
    if (s->cut == LETTER_BARE)
        return err_set(
            err, ERR_UNAVAILABLE, "topic %s does not even take an empty one", target->topic);
    s->cut++;
    return true;
}

static void note_sent(struct letter_sender *s, const struct target *target, uint64_t n)
{
    if (s->cut != LETTER_WHOLE)
        log_warn("a dead letter was larger than topic %s takes, and is cut", target->topic);
    s->cut = LETTER_WHOLE;
    s->alone -= s->alone < n ? s->alone : n;
    s->backoff_ms = BACKOFF_MS;
}

/* *more: there are letters left. */
static enum producer_answer send_some(
    struct letter_sender *s, size_t stream, struct outbox *outbox, bool *more, struct err *err)
{
    struct target *target = &s->targets[s->target_of[stream]];
    struct parcel parcel = {.to = outbox_head(outbox)};
    enum producer_answer answer = PRODUCER_DONE;
    bool end = false;
    size_t most = s->alone ? 1 : SEND_LETTERS;
    while (!answer && !end && parcel.sent < most && parcel.n < SEND_LETTERS &&
           parcel.bytes < SEND_BYTES && !atomic_load(&s->stop))
        answer = add_next(s, stream, outbox, &parcel, &end, err);
    if (!answer && parcel.sent)
        answer = letter_producer_commit(s->producer, err);
    if (answer == PRODUCER_TOO_LARGE && !note_too_large(s, target, &parcel, err))
        answer = PRODUCER_AGAIN;
    *more = !end;
    if (!answer && parcel.n && commit(s, outbox, target, &parcel))
        note_sent(s, target, parcel.n);
    return answer;
}

static bool has_letters(struct letter_sender *s, size_t stream)
{
    struct outbox *outbox = letters_outbox(s->letters, stream);
    struct outbox_stats stats;
    if (!outbox)
        return false;
    outbox_stats(outbox, &stats);
    return stats.bytes > 0;
}

/* A topic that cannot be read holds up its own streams alone. */
static enum producer_answer send_stream(struct letter_sender *s, size_t stream, bool *more)
{
    struct target *target = &s->targets[s->target_of[stream]];
    struct err err = {0};
    enum producer_answer answer = open_producer(s, &err);
    if (!answer && !target->read && !read_tail(s, target, &err)) {
        note_failure(s, &err);
        return PRODUCER_DONE;
    }
    if (!answer)
        answer = send_some(s, stream, letters_outbox(s->letters, stream), more, &err);
    if (answer == PRODUCER_FENCED)
        note_fence(s);
    else if (answer == PRODUCER_AGAIN)
        note_failure(s, &err);
    if (answer)
        letter_producer_free(&s->producer);
    return answer;
}

/* Each stream's outbox in turn, so that none waits for another. Returns whether to go on at once.
 */
static bool send_all(struct letter_sender *s)
{
    enum producer_answer answer = PRODUCER_DONE;
    bool more = false;
    s->round[0] = 0;
    for (size_t i = 0; i < s->options.streams->n_streams && !answer && !atomic_load(&s->stop); i++)
        if (has_letters(s, i))
            answer = send_stream(s, i, &more);
    if (atomic_load(&s->stop))
        return false;
    say(s, s->round);
    if (s->round[0] && !s->fenced)
        wait_after_failure(s);
    return more || answer;
}

static void *run(void *arg)
{
    struct letter_sender *s = arg;
    while (!atomic_load(&s->stop))
        if (s->fenced || !send_all(s))
            wait(s, IDLE_MS);
    return NULL;
}

/* ---- life ---- */

static void list_targets(struct letter_sender *s)
{
    const struct streams *streams = s->options.streams;
    s->targets = xcalloc(streams->n_streams, sizeof *s->targets);
    s->target_of = xcalloc(streams->n_streams, sizeof *s->target_of);
    for (size_t i = 0; i < streams->n_streams; i++) {
        struct slice topic = streams->streams[i].dead_letters;
        size_t t = 0;
        while (t < s->n_targets && !slice_is(topic, s->targets[t].topic))
            t++;
        s->target_of[i] = t;
        if (t < s->n_targets || topic.len == 0)
            continue;
        snprintf(s->targets[t].topic, sizeof s->targets[t].topic, "%.*s", SLICE_FMT(topic));
        s->targets[t].large_bytes = SIZE_MAX;
        s->n_targets++;
    }
}

struct letter_sender *letter_sender_start(
    struct store *store, const struct ingest_options *options, struct letters *letters)
{
    if (!letters)
        return NULL;
    struct letter_sender *s = xcalloc(1, sizeof *s);
    s->store = store;
    s->options = *options;
    s->letters = letters;
    s->backoff_ms = BACKOFF_MS;
    snprintf(s->instance, sizeof s->instance, "%.*s-letters", SLICE_FMT(kafka_instance(options)));
    list_targets(s);
    map_init(&s->found_map);
    buf_init(&s->bytes, 0);
    arena_init(&s->arena, 0);
    mutex_init(&s->lock);
    cond_init(&s->wake);
    thread_start(&s->thread, "letters", run, s);
    return s;
}

void letter_sender_stop(struct letter_sender **sender)
{
    struct letter_sender *s = *sender;
    *sender = NULL;
    if (!s)
        return;
    atomic_store(&s->stop, true);
    letter_sender_wake(s);
    thread_join(s->thread);
    letter_producer_free(&s->producer);
    map_fini(&s->found_map);
    buf_fini(&s->bytes);
    arena_fini(&s->arena);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->found);
    free(s->targets);
    free(s->target_of);
    free(s);
}

void letter_sender_wake(struct letter_sender *sender)
{
    if (!sender)
        return;
    mutex_lock(&sender->lock);
    sender->awake = true;
    pthread_cond_signal(&sender->wake);
    mutex_unlock(&sender->lock);
}

void letter_sender_trouble(struct letter_sender *sender, char *out, size_t size)
{
    if (!sender) {
        out[0] = 0;
        return;
    }
    mutex_lock(&sender->lock);
    snprintf(out, size, "%s", sender->trouble);
    mutex_unlock(&sender->lock);
}
