/*
 * Which time blocks a transaction's cells lie in. A frame of the log has this in its front
 * (store/front.h), so that a start knows for which blocks the log holds cells before it has
 * replayed any.
 *
 *     touched := ranges varint,
 *                { first block svarint, less the last of the range before; blocks behind it varint
 * }*
 *
 * The list says at least what is touched: of many scattered blocks the nearest are taken together.
 */
#ifndef STORE_TOUCHED_H
#define STORE_TOUCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "store/transaction.h"

#define TOUCHED_MAX 32

struct block_range {
    int64_t first, last; /* both inside */
};

struct touched {
    struct block_range ranges[TOUCHED_MAX + 1]; /* ascending, apart; one more while adding */
    size_t n;
};

/* Every block there is. */
#define TOUCHED_ALL ((struct touched){{{INT64_MIN, INT64_MAX}}, 1})

/* The block that holds time t: (block * block_ms, (block + 1) * block_ms]. */
static inline int64_t block_of(int64_t t, int64_t block_ms)
{
    int64_t block = t / block_ms;
    return t % block_ms > 0 ? block : block - 1;
}

void touched_add(struct touched *touched, struct block_range range);
/* What the transaction touches. */
void touched_of(struct touched *touched, const struct transaction *t, int64_t block_ms);
void touched_encode(const struct touched *touched, struct buf *out);
/* False when it makes no sense; what stands behind it is not read. */
bool touched_decode(struct reader *r, struct touched *out);
/* Adds what the other has. */
void touched_merge(struct touched *touched, const struct touched *other);
/* Whether any block of the range is touched; every one of them. */
bool touched_has(const struct touched *touched, struct block_range range);
bool touched_covers(const struct touched *touched, struct block_range range);

#endif
