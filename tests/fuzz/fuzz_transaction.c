/* Payloads of transactions: decoding ends in an error or in something that encodes to an equal one.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/ensure.h"
#include "store/transaction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    } else {
        ensure(err.code == ERR_CORRUPT);
    }
    buf_fini(&one);
    buf_fini(&two);
    transaction_fini(&first);
    transaction_fini(&again);
    return 0;
}
