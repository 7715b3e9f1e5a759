#include "ingest/letters/letter_sender.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "ingest/letters/kafka_client.h"
#include "ingest/letters/letter_producer.h"
#include "ingest/letters/letter_route.h"
#include "ingest/letters/letter_tail.h"

/* Of one transaction. */
#define SEND_LETTERS    2000
#define SEND_BYTES      (8u << 20)
#define IDLE_MS         1000
#define BACKOFF_MS      500
#define BACKOFF_MAX_MS  15000
#define COMMIT_RETRY_MS 500
/* A dead-letter topic; several streams may have one. */
struct target {
    char topic[256];
    bool read;          /* its end, by the producer that is open */
    bool failed;        /* to be read, in this round */
    size_t large_bytes; /* a letter of so many is too large for it; SIZE_MAX: none was */
};

/* A stream that has dead letters. */
struct sending {
    struct slice stream;
    struct outbox *outbox;
    struct target *target;
    struct letter_route *route;
    uint64_t alone;      /* so many letters go one by one, for one of them was too large */
    enum letter_cut cut; /* of the first of them */
};

/* Letters of one outbox on their way. */
struct parcel {
    uint64_t to;              /* the chunk behind the last one */
    uint64_t n;               /* letters, those that are skipped too */
    size_t sent;              /* of them, given to the producer */
    size_t bytes, last_bytes; /* of all of these, of the last one */
};

/* The thread owns all but `trouble`, which `lock` guards; who wakes it touches `awake` alone. */
struct letter_sender {
    struct store *store;
    struct ingest_options options;
    char instance[LETTER_INSTANCE_MAX];
    struct letter_producer *producer; /* NULL: none is open */
    struct target *targets;
    size_t n_targets;
    struct sending *sendings;
    size_t n_sendings;
    struct buf bytes; /* of one letter */
    struct arena arena;
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

/* ---- noting what was sent ---- */

static void note_position(void *ctx, int32_t partition, int64_t next)
{
    const struct sending *sent = ctx;
    letter_route_sent(sent->route, partition, next);
}

/* All streams of the topic move on: nothing of theirs is under way. */
static void move_routes(struct letter_sender *s, const struct target *target)
{
    for (size_t i = 0; i < s->n_sendings; i++)
        if (s->sendings[i].target == target)
            letter_producer_each_sent(s->producer, note_position, &s->sendings[i]);
}

static void write_routes(struct letter_sender *s, const struct target *target, struct txn *txn)
{
    for (size_t i = 0; i < s->n_sendings; i++)
        if (s->sendings[i].target == target)
            letter_route_write(s->sendings[i].route, txn);
}

static void routes_written(struct letter_sender *s, const struct target *target)
{
    for (size_t i = 0; i < s->n_sendings; i++)
        if (s->sendings[i].target == target)
            letter_route_written(s->sendings[i].route);
}

static bool try_note(
    struct letter_sender *s, struct sending *from, const struct parcel *parcel, struct err *err)
{
    struct txn *txn = txn_begin(s->store);
    bool ok = outbox_write_sent(from->outbox, txn, parcel->to, parcel->n, err);
    if (ok)
        write_routes(s, from->target, txn);
    if (ok && txn_commit(&txn, NULL, err)) {
        outbox_sent(from->outbox, parcel->to, parcel->n);
        letter_route_noted(from->route, parcel->n);
        routes_written(s, from->target);
        return true;
    }
    txn_abort(&txn);
    return false;
}

/* Until it works, or, after one try, all is to stop: what was sent is found again by the next
 * start, unless that has another name or topic. */
static bool note(struct letter_sender *s, struct sending *from, const struct parcel *parcel)
{
    struct err err;
    if (parcel->sent)
        move_routes(s, from->target);
    while (!try_note(s, from, parcel, &err)) {
        if (atomic_load(&s->stop))
            return false;
        err_wrap(&err, "dead letters wait: the outbox cannot be written");
        say(s, err.text);
        clock_sleep_ms(COMMIT_RETRY_MS);
    }
    return true;
}

/* Where all that was found has left the outbox. What cannot be written now goes with the next. */
static void settle(struct letter_sender *s)
{
    struct err ignored;
    for (size_t i = 0; i < s->n_sendings; i++) {
        struct sending *from = &s->sendings[i];
        if (!from->target->read || !letter_route_settle(from->route))
            continue;
        struct txn *txn = txn_begin(s->store);
        letter_route_write(from->route, txn);
        if (txn_commit(&txn, NULL, &ignored))
            letter_route_written(from->route);
        else
            txn_abort(&txn);
    }
}

/* ---- opening ---- */

struct tail_reading {
    struct letter_sender *sender;
    const struct target *target;
};

static void tail_begin(void *ctx, int n, const int64_t *ends, int64_t *begins)
{
    struct tail_reading *t = ctx;
    for (int i = 0; i < n; i++)
        begins[i] = ends[i];
    for (size_t i = 0; i < t->sender->n_sendings; i++)
        if (t->sender->sendings[i].target == t->target)
            letter_route_open(t->sender->sendings[i].route, n, ends, begins);
}

static void tail_found(
    void *ctx, int32_t partition, int64_t offset, struct slice stream, struct slice place)
{
    struct tail_reading *t = ctx;
    for (size_t i = 0; i < t->sender->n_sendings; i++) {
        struct sending *to = &t->sender->sendings[i];
        if (to->target == t->target && slice_eq(to->stream, stream))
            letter_route_found(to->route, partition, offset, place);
    }
}

static bool keep_begins(struct letter_sender *s, const struct target *target, struct err *err)
{
    struct txn *txn = txn_begin(s->store);
    bool any = false;
    for (size_t i = 0; i < s->n_sendings; i++)
        if (s->sendings[i].target == target)
            any |= letter_route_opened(s->sendings[i].route, txn);
    if (any && txn_commit(&txn, NULL, err)) {
        routes_written(s, target);
        return true;
    }
    txn_abort(&txn);
    return !any;
}

static bool read_tail(struct letter_sender *s, struct target *target, struct err *err)
{
    struct tail_reading reading = {s, target};
    struct letter_tail tail = {
        &s->options, target->topic, s->instance, &s->stop, tail_begin, tail_found, &reading};
    target->read = letter_tail_read(&tail, err) && keep_begins(s, target, err);
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

static enum producer_answer send_letter(struct letter_sender *s, struct sending *from,
    struct parcel *parcel, struct letter *letter, struct err *err)
{
    enum producer_answer answer = PRODUCER_DONE;
    parcel->last_bytes = s->bytes.len;
    parcel->bytes += s->bytes.len;
    letter_cut(letter, s->bytes.len >= from->target->large_bytes ? LETTER_SMALL : LETTER_WHOLE);
    letter_cut(letter, from->cut);
    if (parcel->sent++ == 0)
        answer = letter_producer_begin(s->producer, err);
    return answer
               ? answer
               : letter_producer_add(s->producer, from->target->topic, from->stream, letter, err);
}

/* Adds the letter at parcel->to, unless it is there already, and moves on. *end: there is none. */
static enum producer_answer add_next(struct letter_sender *s, struct sending *from,
    struct parcel *parcel, bool *end, struct err *err)
{
    enum producer_answer answer = PRODUCER_DONE;
    struct letter letter;
    uint64_t next;
    bool found;
    arena_reset(&s->arena);
    if (!outbox_read(from->outbox, parcel->to, &s->bytes, &next, &found, err))
        return PRODUCER_AGAIN;
    *end = !found;
    if (!found)
        return PRODUCER_DONE;
    if (!letter_decode(buf_view(&s->bytes), &s->arena, &letter, err))
        return PRODUCER_AGAIN;
    if (!letter_route_has(from->route, &letter))
        answer = send_letter(s, from, parcel, &letter, err);
    parcel->to = next;
    parcel->n++;
    return answer;
}

/* One of the letters is: they go one by one, and that one is cut. False: it cannot be cut more. */
static bool note_too_large(struct sending *from, const struct parcel *parcel, struct err *err)
{
    struct target *target = from->target;
    if (parcel->sent > 1) {
        from->alone = parcel->n;
        return true;
    }
    if (from->cut == LETTER_WHOLE && parcel->last_bytes < target->large_bytes)
        target->large_bytes = parcel->last_bytes;
    if (from->cut == LETTER_BARE)
        return err_set(
            err, ERR_UNAVAILABLE, "topic %s does not even take an empty one", target->topic);
    from->cut++;
    return true;
}

static void note_taken(struct letter_sender *s, struct sending *from, const struct parcel *parcel)
{
    if (from->cut != LETTER_WHOLE && parcel->sent)
        log_warn("a dead letter was larger than topic %s takes, and is cut", from->target->topic);
    from->cut = LETTER_WHOLE;
    from->alone -= from->alone < parcel->n ? from->alone : parcel->n;
    s->backoff_ms = BACKOFF_MS;
}

/* *more: there are letters left. */
static enum producer_answer send_some(
    struct letter_sender *s, struct sending *from, bool *more, struct err *err)
{
    struct parcel parcel = {.to = outbox_head(from->outbox)};
    enum producer_answer answer = PRODUCER_DONE;
    bool end = false;
    size_t most = from->alone || from->cut ? 1 : SEND_LETTERS;
    while (!answer && !end && parcel.sent < most && parcel.n < SEND_LETTERS &&
           parcel.bytes < SEND_BYTES && !atomic_load(&s->stop))
        answer = add_next(s, from, &parcel, &end, err);
    if (!answer && parcel.sent)
        answer = letter_producer_commit(s->producer, err);
    if (answer == PRODUCER_TOO_LARGE && !note_too_large(from, &parcel, err))
        answer = PRODUCER_AGAIN;
    *more |= !end;
    if (!answer && parcel.n && note(s, from, &parcel))
        note_taken(s, from, &parcel);
    return answer;
}

static bool has_letters(const struct sending *from)
{
    struct outbox_stats stats;
    outbox_stats(from->outbox, &stats);
    return stats.bytes > 0;
}

/* A topic that cannot be read holds up its own streams alone. */
static enum producer_answer send_stream(struct letter_sender *s, struct sending *from, bool *more)
{
    struct target *target = from->target;
    struct err err = {0};
    enum producer_answer answer = open_producer(s, &err);
    if (!answer && !target->read && !read_tail(s, target, &err)) {
        target->failed = true;
        note_failure(s, &err);
        return PRODUCER_DONE;
    }
    if (!answer)
        answer = send_some(s, from, more, &err);
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
    for (size_t i = 0; i < s->n_targets; i++)
        s->targets[i].failed = false;
    for (size_t i = 0; i < s->n_sendings && !answer && !atomic_load(&s->stop); i++)
        if (!s->sendings[i].target->failed && has_letters(&s->sendings[i]))
            answer = send_stream(s, &s->sendings[i], &more);
    if (atomic_load(&s->stop))
        return false;
    settle(s);
    say(s, s->round);
    if (s->round[0] && !s->fenced)
        wait_after_failure(s);
    return more || answer;
}

static void *run(void *arg)
{
    struct letter_sender *s = arg;
    say(s, s->round);
    while (!atomic_load(&s->stop))
        if (s->fenced || !send_all(s))
            wait(s, IDLE_MS);
    return NULL;
}

/* ---- life ---- */

static struct target *target_of(struct letter_sender *s, struct slice topic)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (slice_is(topic, s->targets[i].topic))
            return &s->targets[i];
    struct target *t = &s->targets[s->n_targets++];
    snprintf(t->topic, sizeof t->topic, "%.*s", SLICE_FMT(topic));
    t->large_bytes = SIZE_MAX;
    return t;
}

static void list_sendings(struct letter_sender *s, struct letters *letters)
{
    const struct streams *streams = s->options.streams;
    s->targets = xcalloc(streams->n_streams, sizeof *s->targets);
    s->sendings = xcalloc(streams->n_streams, sizeof *s->sendings);
    for (size_t i = 0; i < streams->n_streams; i++) {
        struct sending *to = &s->sendings[s->n_sendings];
        to->outbox = letters_outbox(letters, i);
        if (!to->outbox)
            continue;
        to->stream = streams->streams[i].name;
        to->target = target_of(s, streams->streams[i].dead_letters);
        to->route = letter_route_new(s->store, to->stream, to->target->topic, to->outbox);
        s->n_sendings++;
    }
}

/* A transactional id: whoever begins under the same one shuts out who has it. */
static void name_instance(const struct ingest_options *options, char out[LETTER_INSTANCE_MAX])
{
    struct slice group = kafka_instance(options);
    if (options->shard.of)
        snprintf(out, LETTER_INSTANCE_MAX, "%.*s-letters-%" PRIu32 "-of-%" PRIu32, SLICE_FMT(group),
            options->shard.number, options->shard.of);
    else
        snprintf(out, LETTER_INSTANCE_MAX, "%.*s-letters", SLICE_FMT(group));
}

struct letter_sender *letter_sender_start(struct store *store, const struct ingest_options *options,
    struct letters *letters, const char *fenced)
{
    if (!letters)
        return NULL;
    struct letter_sender *s = xcalloc(1, sizeof *s);
    s->store = store;
    s->options = *options;
    s->backoff_ms = BACKOFF_MS;
    name_instance(options, s->instance);
    list_sendings(s, letters);
    if (strcmp(fenced, s->instance) == 0)
        note_fence(s);
    buf_init(&s->bytes, 0);
    arena_init(&s->arena, 0);
    mutex_init(&s->lock);
    cond_init(&s->wake);
    thread_start(&s->thread, "letters", run, s);
    return s;
}

void letter_sender_stop(struct letter_sender **sender, char fenced[LETTER_INSTANCE_MAX])
{
    struct letter_sender *s = *sender;
    *sender = NULL;
    if (!s)
        return;
    atomic_store(&s->stop, true);
    letter_sender_wake(s);
    thread_join(s->thread);
    if (s->fenced)
        snprintf(fenced, LETTER_INSTANCE_MAX, "%s", s->instance);
    letter_producer_free(&s->producer);
    buf_fini(&s->bytes);
    arena_fini(&s->arena);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    for (size_t i = 0; i < s->n_sendings; i++)
        letter_route_free(&s->sendings[i].route);
    free(s->sendings);
    free(s->targets);
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
