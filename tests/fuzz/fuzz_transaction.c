/* Payloads of transactions: decoding ends in an error or in something that encodes to an equal one,
 * and whose front says every block that it touches. */
#include <stddef.h>
#include <stdint.h>

#include "base/ensure.h"
#include "store/front.h"
#include "store/transaction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCK_MS 7200000

static void expect_touched(const struct transaction *t)
{
    struct frame_front front = {.n_clocks = 0}, said;
    struct buf bytes;
    buf_init(&bytes, 0);
    front_add(&front, t, BLOCK_MS);
    front_encode(&front, &bytes);
    ensure(front_decode(buf_view(&bytes), &said));
    const struct touched *again = &said.touched;
    ensure(again->n == front.touched.n && said.definitions == front.definitions);
    for (size_t i = 0; i < t->n_adds; i++) {
        int64_t block = block_of(t->adds[i].t, BLOCK_MS);
        ensure(touched_has(again, (struct block_range){block, block}));
    }
    for (size_t i = 0; i < t->n_samples; i++) {
        int64_t block = block_of(t->samples[i].t, BLOCK_MS);
        ensure(touched_has(again, (struct block_range){block, block}));
    }
    ensure(said.without_clocks || t->n_clocks == 0 || said.n_clocks > 0);
    buf_fini(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct transaction first, again;
    struct buf one, two;
    struct err err;
    transaction_init(&first);
    transaction_init(&again);
    buf_init(&one, 0);
    buf_init(&two, 0);
    if (transaction_decode(slice_of(data, size), &first, &err)) {
        transaction_encode(&first, &one);
        ensure(transaction_decode(buf_view(&one), &again, &err));
        transaction_encode(&again, &two);
        ensure(slice_eq(buf_view(&one), buf_view(&two)));
        expect_touched(&first);
    } else {
        ensure(err.code == ERR_CORRUPT);
    }
    buf_fini(&one);
    buf_fini(&two);
    transaction_fini(&first);
    transaction_fini(&again);
    return 0;
}
