#include "ingest/replay/replay_order.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/bytes.h"

#define SOURCE  "replay"
#define VERSION 1

_Static_assert(256 + ERR_TEXT_MAX + 64 < SOURCE_STATE_MAX, "it fits");

static void read_text(struct reader *r, char *out, size_t size)
{
    struct slice text = read_lstr(r);
    snprintf(out, size, "%.*s", SLICE_FMT(text));
}

bool replay_order_read(struct store *store, struct replay_order *out, struct err *err)
{
    struct source_state state;
    *out = (struct replay_order){.from_ms = INT64_MIN, .whole_after_ms = INT64_MIN};
    if (!store_source(store, SLICE(SOURCE), &state))
        return true;
    struct reader r = reader_of(slice_of(state.state, state.state_len));
    bool known = read_varint(&r) == VERSION;
    out->from_ms = (int64_t)read_le64(&r);
    out->config.lo = read_le64(&r);
    out->config.hi = read_le64(&r);
    out->whole_after_ms = (int64_t)read_le64(&r);
    out->cells = read_varint(&r);
    read_text(&r, out->rollup, sizeof out->rollup);
    read_text(&r, out->text, sizeof out->text);
    if (!known || r.failed || state.next < 0 || state.next >= REPLAY_STATES)
        return err_set(err, ERR_CORRUPT, "what the store keeps of the newest replay does not read");
    out->state = (enum replay_state)state.next;
    return true;
}

void replay_order_write(const struct replay_order *order, struct txn *txn)
{
    struct buf state;
    buf_init(&state, 0);
    buf_varint(&state, VERSION);
    buf_le64(&state, (uint64_t)order->from_ms);
    buf_le64(&state, order->config.lo);
    buf_le64(&state, order->config.hi);
    buf_le64(&state, (uint64_t)order->whole_after_ms);
    buf_varint(&state, order->cells);
    buf_lstr(&state, slice_from(order->rollup));
    buf_lstr(&state, slice_from(order->text));
    txn_source(txn, SLICE(SOURCE), order->state, INT64_MIN, buf_view(&state));
    buf_fini(&state);
}
