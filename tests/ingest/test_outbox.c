/* Letters as bytes, and the outbox over a store in a folder: order, chunks, limits; what is
 * aborted, sent, or cut off by a crash at any moment. */
#include "ingest/letters/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/store/support/folder.h"

#define MIB (1u << 20)

struct fixture {
    char path[64], copy[80];
    struct store *store;
    struct outbox *outbox;
    struct buf bytes;
    struct arena arena;
    uint64_t limit;
};

static void open_at(struct fixture *f, const char *path)
{
    struct store_options options = {.path = path};
    struct err err;
    if (!store_open(&options, &f->store, &err))
        fail_msg("%s", err.text);
    f->outbox = outbox_new(f->store, SLICE("orders"), f->limit);
}

static void close_all(struct fixture *f)
{
    outbox_free(&f->outbox);
    store_close(&f->store);
}

static void reopen(struct fixture *f)
{
    close_all(f);
    open_at(f, f->path);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    folder_new("outbox", f->path, sizeof f->path);
    snprintf(f->copy, sizeof f->copy, "%s.copy", f->path);
    f->limit = 64 * MIB;
    buf_init(&f->bytes, 0);
    arena_init(&f->arena, 0);
    open_at(f, f->path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    folder_remove(f->path);
    folder_remove(f->copy);
    buf_fini(&f->bytes);
    arena_fini(&f->arena);
    free(f);
    return 0;
}

/* ---- letters as bytes ---- */

static const struct letter_header headers[] = {
    {{"a", 1}, {"1", 1}}, {{"", 0}, {"", 0}}, {{"a", 1}, {NULL, 0}}};

static struct letter letter_of(struct slice value)
{
    return (struct letter){.reason = REFUSED_TYPE,
        .partition = SLICE("orders/3"),
        .offset = 1234567890123,
        .origin = SLICE(""),
        .timestamp_ms = 1700000000123,
        .cause = SLICE("field 'amount' is not a decimal"),
        .key = SLICE("k"),
        .key_bytes = 1,
        .value = value,
        .value_bytes = value.len,
        .value_crc = crc32c(0, value.ptr, value.len),
        .headers = headers,
        .n_headers = 3};
}

static bool same_text(struct slice a, struct slice b)
{
    return !a.ptr == !b.ptr && slice_eq(a, b);
}

static void assert_same(const struct letter *a, const struct letter *b)
{
    assert_int_equal(a->reason, b->reason);
    assert_int_equal(a->cut, b->cut);
    assert_true(slice_eq(a->partition, b->partition) && a->offset == b->offset);
    assert_true(slice_eq(a->origin, b->origin) && slice_eq(a->cause, b->cause));
    assert_int_equal(a->timestamp_ms, b->timestamp_ms);
    assert_true(a->key_bytes == b->key_bytes && a->value_bytes == b->value_bytes);
    assert_int_equal(a->value_crc, b->value_crc);
    assert_true(same_text(a->key, b->key) && same_text(a->value, b->value));
    assert_int_equal(a->n_headers, b->n_headers);
    for (size_t i = 0; i < a->n_headers; i++) {
        assert_true(slice_eq(a->headers[i].name, b->headers[i].name));
        assert_true(same_text(a->headers[i].value, b->headers[i].value));
    }
}

static struct letter round_trip(struct fixture *f, const struct letter *letter)
{
    struct letter out;
    struct err err;
    buf_clear(&f->bytes);
    letter_encode(letter, &f->bytes);
    assert_true(f->bytes.len <= LETTER_BYTES_MAX);
    if (!letter_decode(buf_view(&f->bytes), &f->arena, &out, &err))
        fail_msg("%s", err.text);
    return out;
}

static void test_bytes(void **state)
{
    struct fixture *f = *state;
    struct letter in = letter_of(SLICE("{\"a\":\0\xff}")), out = round_trip(f, &in);
    assert_same(&in, &out);
    in.key = in.value = (struct slice){NULL, 0}; /* null is not empty */
    in.timestamp_ms = INT64_MIN;
    in.origin = SLICE("orders/1/5");
    in.n_headers = 0;
    out = round_trip(f, &in);
    assert_same(&in, &out);
    in.key = in.value = SLICE("");
    out = round_trip(f, &in);
    assert_same(&in, &out);
    assert_non_null(out.key.ptr);
}

static void test_damaged_bytes(void **state)
{
    struct fixture *f = *state;
    struct letter in = letter_of(SLICE("{}")), out;
    struct err err;
    round_trip(f, &in);
    for (size_t n = 0; n < f->bytes.len; n++) {
        char *block = malloc(n + 1); /* of exactly that size */
        memcpy(block, f->bytes.ptr, n);
        assert_false(letter_decode(slice_of(block, n), &f->arena, &out, &err));
        free(block);
    }
    buf_char(&f->bytes, 0);
    assert_false(letter_decode(buf_view(&f->bytes), &f->arena, &out, &err));
    f->bytes.len--;
    f->bytes.ptr[0] = 2;
    assert_false(letter_decode(buf_view(&f->bytes), &f->arena, &out, &err));
    assert_int_equal(err.code, ERR_CORRUPT);
}

static void test_cut(void **state)
{
    struct fixture *f = *state;
    size_t huge = 50 * MIB;
    char *value = malloc(huge);
    memset(value, 'x', huge);
    struct letter in = letter_of(slice_of(value, LETTER_BYTES_MAX - 1000)),
                  out = round_trip(f, &in);
    assert_int_equal(out.cut, 0); /* it fits, whole */
    assert_int_equal(out.value.len, LETTER_BYTES_MAX - 1000);
    in = letter_of(slice_of(value, huge));
    out = round_trip(f, &in);
    assert_int_equal(out.cut, LETTER_CUT_VALUE);
    assert_int_equal(out.value.len, 64 << 10);
    assert_int_equal(out.value_bytes, huge);
    assert_int_equal(out.value_crc, in.value_crc);
    assert_true(slice_eq(out.key, in.key) && out.n_headers == 3);
    in.key = slice_of(value, huge);
    in.key_bytes = huge;
    in.headers = xcalloc(2000, sizeof *in.headers);
    in.n_headers = 2000;
    out = round_trip(f, &in);
    assert_int_equal(out.cut, LETTER_CUT_KEY | LETTER_CUT_HEADERS | LETTER_CUT_VALUE);
    assert_int_equal(out.n_headers, LETTER_HEADERS_MAX);
    letter_cut(&out, LETTER_BARE);
    assert_true(out.key.len == 0 && out.value.len == 0 && out.value_bytes == huge);
    assert_true(out.value.ptr && out.offset == in.offset);
    free((void *)(uintptr_t)in.headers);
    free(value);
}

/* ---- the outbox ---- */

/* A letter that its number tells, with a value of so many bytes. */
static char room[9 * MIB];

static struct letter numbered(int number, size_t bytes)
{
    memset(room, 'a' + number % 26, bytes);
    struct letter letter = letter_of(slice_of(room, bytes));
    letter.offset = number;
    return letter;
}

static void add(struct fixture *f, int number, size_t bytes)
{
    struct letter letter = numbered(number, bytes);
    assert_true(outbox_add(f->outbox, &letter));
}

static void write_batch(struct fixture *f, bool commit)
{
    struct err err = {0};
    struct txn *txn = txn_begin(f->store);
    bool ok = outbox_write(f->outbox, txn, &err) && (!commit || txn_commit(&txn, NULL, &err));
    if (!commit)
        txn_abort(&txn);
    if (!ok)
        fail_msg("%s", err.text);
    if (commit)
        outbox_clear(f->outbox);
}

/* The letter at *at, which moves behind it; -1: there is none. Its value is as it was put in. */
static int next_letter(struct fixture *f, uint64_t *at)
{
    struct letter out;
    struct err err;
    bool found;
    if (!outbox_read(f->outbox, *at, &f->bytes, at, &found, &err))
        fail_msg("%s", err.text);
    if (!found)
        return -1;
    arena_reset(&f->arena);
    if (!letter_decode(buf_view(&f->bytes), &f->arena, &out, &err))
        fail_msg("%s", err.text);
    struct letter want = numbered((int)out.offset, out.value.len);
    assert_same(&out, &want);
    return (int)out.offset;
}

/* Those from..to-1 are in it, in order, and no others. */
static void assert_holds(struct fixture *f, int from, int to)
{
    uint64_t at = outbox_head(f->outbox);
    for (int i = from; i < to; i++)
        assert_int_equal(next_letter(f, &at), i);
    assert_int_equal(next_letter(f, &at), -1);
    struct outbox_stats stats;
    outbox_stats(f->outbox, &stats);
    assert_int_equal(stats.letters - stats.sent, to - from);
}

/* n letters from the head on are sent. */
static void send(struct fixture *f, int n, bool commit)
{
    struct err err = {0};
    uint64_t at = outbox_head(f->outbox);
    for (int i = 0; i < n; i++)
        assert_true(next_letter(f, &at) >= 0);
    struct txn *txn = txn_begin(f->store);
    bool ok = outbox_write_sent(f->outbox, txn, at, (uint64_t)n, &err);
    if (ok && commit)
        ok = txn_commit(&txn, NULL, &err);
    else
        txn_abort(&txn);
    if (!ok)
        fail_msg("%s", err.text);
    if (commit)
        outbox_sent(f->outbox, at, (uint64_t)n);
}

static size_t generations(struct fixture *f)
{
    struct store_stats stats;
    store_stats(f->store, &stats);
    return stats.state_generations;
}

/* Every length around the ends of chunks, in batches, over a restart. */
static void test_order(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 1200; i++) {
        add(f, i, (size_t)i);
        if (i % 7 == 0)
            write_batch(f, true);
    }
    write_batch(f, true);
    assert_holds(f, 0, 1200);
    reopen(f);
    assert_holds(f, 0, 1200);
    add(f, 1200, 10);
    write_batch(f, true);
    assert_holds(f, 0, 1201);
}

static void test_nothing_before_its_commit(void **state)
{
    struct fixture *f = *state;
    add(f, 0, 100);
    assert_holds(f, 0, 0);
    write_batch(f, false);
    assert_holds(f, 0, 0);
    add(f, 1, 5000);
    write_batch(f, false);
    write_batch(f, true); /* once, whatever was aborted before */
    assert_holds(f, 0, 2);
    add(f, 2, 100);
    write_batch(f, false);
    reopen(f);
    assert_holds(f, 0, 2);
    assert_int_equal(outbox_pending(f->outbox), 0);
}

static void test_sent(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 12; i++) {
        add(f, i, MIB);
        write_batch(f, true);
    }
    assert_int_equal(generations(f), 4); /* of 4 MiB each, and what the frames take */
    send(f, 3, false);
    assert_holds(f, 0, 12);
    send(f, 3, true);
    assert_holds(f, 3, 12);
    assert_int_equal(generations(f), 4);
    send(f, 1, true);
    assert_int_equal(generations(f), 3);
    reopen(f);
    assert_holds(f, 4, 12);
    send(f, 8, true);
    assert_holds(f, 12, 12);
    assert_int_equal(generations(f), 0); /* no byte is left */
    reopen(f);
    assert_holds(f, 12, 12);
    add(f, 12, 1);
    write_batch(f, true);
    assert_holds(f, 12, 13);
    struct outbox_stats stats;
    outbox_stats(f->outbox, &stats);
    assert_int_equal(stats.letters, 13);
    assert_int_equal(stats.sent, 12);
    assert_int_equal(stats.bytes, OUTBOX_CHUNK);
}

/* What the ingestion has committed and not noted yet is not dropped by a sender that is done. */
static void test_sent_between_commit_and_clear(void **state)
{
    struct fixture *f = *state;
    struct err err;
    add(f, 0, 10);
    write_batch(f, true);
    add(f, 1, 10);
    struct txn *txn = txn_begin(f->store);
    assert_true(outbox_write(f->outbox, txn, &err) && txn_commit(&txn, NULL, &err));
    send(f, 1, true);
    outbox_clear(f->outbox);
    assert_holds(f, 1, 2);
}

static void test_full(void **state)
{
    struct fixture *f = *state;
    f->limit = 0; /* the least */
    reopen(f);
    struct outbox_stats stats;
    outbox_stats(f->outbox, &stats);
    assert_int_equal(stats.limit_bytes, OUTBOX_BYTES_MIN);
    struct letter large = numbered(0, 3 * MIB);
    int n = 0;
    for (; outbox_add(f->outbox, &large); large = numbered(++n, 3 * MIB))
        if (n % 2)
            write_batch(f, true);
    assert_int_equal(n, 5);
    assert_false(outbox_add(f->outbox, &large));
    write_batch(f, true);
    assert_false(outbox_has_room(f->outbox));
    assert_holds(f, 0, 5); /* what did not fit has left nothing */
    struct letter small = numbered(5, 0);
    assert_true(outbox_add(f->outbox, &small)); /* others may fit */
    write_batch(f, true);
    send(f, 3, true);
    assert_true(outbox_has_room(f->outbox));
    large = numbered(6, 3 * MIB);
    assert_true(outbox_add(f->outbox, &large));
    write_batch(f, true);
    assert_holds(f, 3, 7);
    /* The largest letter fits an outbox that is empty. */
    send(f, 4, true);
    large = numbered(7, LETTER_BYTES_MAX - 500);
    assert_true(outbox_add(f->outbox, &large));
    write_batch(f, true);
    assert_holds(f, 7, 8);
}

/* ---- crashes ---- */

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* Commits, aborts, sendings, restarts and maintenance by chance, and at chance moments what a kill
 * would leave: always the letters from the last committed head to the last committed tail. */
static void test_crashes(void **state)
{
    struct fixture *f = *state;
    const char *given = getenv("LARDER_SEED");
    seed = given ? strtoull(given, NULL, 10) : 1;
    print_message("# seed %llu\n", (unsigned long long)seed);
    int head = 0, tail = 0, pending = 0;
    for (int step = 0; step < 600; step++) {
        struct err err;
        switch (random_below(8)) {
        case 0:
        case 1:
        case 2:
            add(f, tail + pending++, random_below(3) ? random_below(2000) : random_below(MIB));
            break;
        case 3: write_batch(f, false); break;
        case 4:
        case 5:
            write_batch(f, true);
            tail += pending;
            pending = 0;
            break;
        case 6: {
            int n = (int)random_below((uint32_t)(tail - head + 1));
            send(f, n, random_below(3) > 0);
            break;
        }
        default: assert_true(store_maintain(f->store, INT64_MIN, &err));
        }
        assert_true(tail + pending >= head);
        struct outbox_stats stats;
        outbox_stats(f->outbox, &stats);
        head = (int)stats.sent;
        if (random_below(20) == 0) {
            struct outbox *outbox = f->outbox;
            struct store *store = f->store;
            folder_copy(f->path, f->copy);
            open_at(f, f->copy);
            assert_holds(f, head, tail);
            close_all(f);
            f->outbox = outbox;
            f->store = store;
        }
        if (random_below(40) == 0) {
            reopen(f);
            pending = 0;
        }
    }
    assert_holds(f, head, tail);
    assert_true(head > 50);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes),
        TEST(test_damaged_bytes),
        TEST(test_cut),
        TEST(test_order),
        TEST(test_nothing_before_its_commit),
        TEST(test_sent),
        TEST(test_sent_between_commit_and_clear),
        TEST(test_full),
        TEST(test_crashes),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
