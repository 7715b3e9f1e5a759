#include "ingest/letters/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/ensure.h"
#include "base/mem.h"
#include "base/thread.h"
#include "store/state/state.h"

#define FRAME_BYTES 8 /* in front of a letter */

struct outbox {
    struct store *store;
    char name[STATE_TABLE_NAME_MAX + 1], sent_name[STATE_TABLE_NAME_MAX + 8];
    uint64_t limit_chunks;
    struct buf batch; /* of the ingestion: letters in whole chunks */
    uint64_t n_batch;
    pthread_mutex_t lock; /* guards what follows: what is committed */
    uint64_t head, tail;
    uint64_t letters, sent;
};

/* ---- life ---- */

static uint64_t recall(struct store *store, const char *name, uint64_t *count)
{
    struct source_state state;
    if (!store_source(store, slice_from(name), &state) || state.next < 0)
        return 0;
    struct reader bytes = reader_of(slice_of(state.state, state.state_len));
    *count = read_varint(&bytes);
    return (uint64_t)state.next;
}

struct outbox *outbox_new(struct store *store, struct slice stream, uint64_t limit_bytes)
{
    struct outbox *o = xcalloc(1, sizeof *o);
    o->store = store;
    o->limit_chunks =
        (limit_bytes < OUTBOX_BYTES_MIN ? OUTBOX_BYTES_MIN : limit_bytes) / OUTBOX_CHUNK;
    snprintf(o->name, sizeof o->name, "letters/%.*s", SLICE_FMT(stream));
    snprintf(o->sent_name, sizeof o->sent_name, "%s/sent", o->name);
    buf_init(&o->batch, 0);
    mutex_init(&o->lock);
    o->tail = recall(store, o->name, &o->letters);
    o->head = recall(store, o->sent_name, &o->sent);
    return o;
}

void outbox_free(struct outbox **outbox)
{
    struct outbox *o = *outbox;
    *outbox = NULL;
    if (!o)
        return;
    pthread_mutex_destroy(&o->lock);
    buf_fini(&o->batch);
    free(o);
}

/* ---- chunks ---- */

static uint64_t chunks_of(size_t letter_bytes)
{
    return (letter_bytes + FRAME_BYTES + OUTBOX_CHUNK - 1) / OUTBOX_CHUNK;
}

static struct hash128 key_of(uint64_t chunk)
{
    uint8_t bytes[8];
    le64_put(bytes, chunk);
    return hash128(bytes, sizeof bytes);
}

static int64_t generation_of(uint64_t chunk)
{
    return (int64_t)(chunk / OUTBOX_GENERATION);
}

/* ---- letters come in ---- */

bool outbox_add(struct outbox *outbox, const struct letter *letter)
{
    struct outbox *o = outbox;
    size_t before = o->batch.len;
    buf_le64(&o->batch, 0);
    letter_encode(letter, &o->batch);
    size_t bytes = o->batch.len - before - FRAME_BYTES;
    size_t whole = (size_t)chunks_of(bytes) * OUTBOX_CHUNK;
    mutex_lock(&o->lock);
    uint64_t held = o->tail - o->head;
    mutex_unlock(&o->lock);
    if (held + (before + whole) / OUTBOX_CHUNK > o->limit_chunks) {
        o->batch.len = before;
        return false;
    }
    char *frame = o->batch.ptr + before;
    le32_put(frame, (uint32_t)bytes);
    le32_put(frame + 4, crc32c(0, frame + FRAME_BYTES, bytes));
    size_t rest = whole - bytes - FRAME_BYTES;
    if (rest)
        memset(buf_reserve(&o->batch, rest), 0, rest);
    o->batch.len += rest;
    o->n_batch++;
    return true;
}

static void write_source(struct txn *txn, const char *name, uint64_t next, uint64_t count)
{
    struct buf state;
    buf_init(&state, 0);
    buf_varint(&state, count);
    txn_source(txn, slice_from(name), (int64_t)next, INT64_MIN, buf_view(&state));
    buf_fini(&state);
}

bool outbox_write(struct outbox *outbox, struct txn *txn, struct err *err)
{
    struct outbox *o = outbox;
    uint32_t table;
    if (!o->n_batch)
        return true;
    if (!txn_state_table(txn, slice_from(o->name), OUTBOX_CHUNK, &table, err))
        return false;
    /* Nobody else moves the tail, and so many were counted by nobody else. */
    uint64_t n = o->batch.len / OUTBOX_CHUNK;
    for (uint64_t i = 0; i < n; i++)
        txn_state_put(txn, table, generation_of(o->tail + i), key_of(o->tail + i),
            o->batch.ptr + i * OUTBOX_CHUNK);
    write_source(txn, o->name, o->tail + n, o->letters + o->n_batch);
    return true;
}

void outbox_clear(struct outbox *outbox)
{
    struct outbox *o = outbox;
    mutex_lock(&o->lock);
    o->tail += o->batch.len / OUTBOX_CHUNK;
    o->letters += o->n_batch;
    mutex_unlock(&o->lock);
    o->n_batch = 0;
    buf_clear(&o->batch);
}

uint64_t outbox_pending(const struct outbox *outbox)
{
    return outbox->batch.len;
}

/* ---- letters go out ---- */

uint64_t outbox_head(struct outbox *outbox)
{
    mutex_lock(&outbox->lock);
    uint64_t head = outbox->head;
    mutex_unlock(&outbox->lock);
    return head;
}

/* The store's: what is committed may not have been cleared yet. */
uint64_t outbox_tail(struct outbox *outbox)
{
    uint64_t letters;
    return recall(outbox->store, outbox->name, &letters);
}

static bool read_chunk(
    struct outbox *o, uint32_t table, uint64_t chunk, struct buf *bytes, struct err *err)
{
    bool found;
    char *room = buf_reserve(bytes, OUTBOX_CHUNK);
    ensure(room);
    if (!store_state_get(o->store, table, generation_of(chunk), key_of(chunk), room, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_CORRUPT, "chunk %" PRIu64 " of %s is not there", chunk, o->name);
    bytes->len += OUTBOX_CHUNK;
    return true;
}

static bool read_letter(
    struct outbox *o, uint64_t at, struct buf *bytes, uint64_t *next, struct err *err)
{
    uint32_t table, record_bytes;
    if (!store_state_table(o->store, slice_from(o->name), &table, &record_bytes, err))
        return false;
    ensure(record_bytes == OUTBOX_CHUNK);
    buf_clear(bytes);
    if (!read_chunk(o, table, at, bytes, err))
        return false;
    size_t len = le32_get(bytes->ptr);
    uint32_t crc = le32_get(bytes->ptr + 4);
    uint64_t n = chunks_of(len);
    if (len > LETTER_BYTES_MAX)
        return err_set(
            err, ERR_CORRUPT, "a letter of %zu bytes at chunk %" PRIu64 " of %s", len, at, o->name);
    for (uint64_t i = 1; i < n; i++)
        if (!read_chunk(o, table, at + i, bytes, err))
            return false;
    memmove(bytes->ptr, bytes->ptr + FRAME_BYTES, len);
    bytes->len = len;
    *next = at + n;
    return crc32c(0, bytes->ptr, len) == crc ||
           err_set(err, ERR_CORRUPT, "the letter at chunk %" PRIu64 " of %s has another checksum",
               at, o->name);
}

bool outbox_read(struct outbox *outbox, uint64_t at, struct buf *bytes, uint64_t *next, bool *found,
    struct err *err)
{
    mutex_lock(&outbox->lock);
    *found = at < outbox->tail;
    mutex_unlock(&outbox->lock);
    return !*found || read_letter(outbox, at, bytes, next, err);
}

/* Those that nothing is left of. */
static void drop_sent(struct txn *txn, uint32_t table, uint64_t head, uint64_t tail)
{
    txn_state_drop_below(txn, table, head == tail ? INT64_MAX : generation_of(head));
}

bool outbox_write_sent(
    struct outbox *outbox, struct txn *txn, uint64_t at, uint64_t n, struct err *err)
{
    struct outbox *o = outbox;
    uint32_t table;
    if (!txn_state_table(txn, slice_from(o->name), OUTBOX_CHUNK, &table, err))
        return false;
    drop_sent(txn, table, at, outbox_tail(o)); /* only the sender changes the head */
    write_source(txn, o->sent_name, at, o->sent + n);
    return true;
}

void outbox_sent(struct outbox *outbox, uint64_t at, uint64_t n)
{
    mutex_lock(&outbox->lock);
    outbox->head = at;
    outbox->sent += n;
    mutex_unlock(&outbox->lock);
}

/* ---- how it is ---- */

void outbox_stats(struct outbox *outbox, struct outbox_stats *out)
{
    mutex_lock(&outbox->lock);
    *out = (struct outbox_stats){.letters = outbox->letters,
        .sent = outbox->sent,
        .bytes = (outbox->tail - outbox->head) * OUTBOX_CHUNK,
        .limit_bytes = outbox->limit_chunks * OUTBOX_CHUNK};
    mutex_unlock(&outbox->lock);
}

bool outbox_has_room(struct outbox *outbox)
{
    mutex_lock(&outbox->lock);
    bool room = outbox->tail - outbox->head <= outbox->limit_chunks / 2;
    mutex_unlock(&outbox->lock);
    return room;
}
