#include "cmd/replay_api.h"

#include <inttypes.h>

#include "api/json_out.h"

static void write_status(const struct replay_status *s, struct buf *out)
{
    static const char *const states[] = {[REPLAY_NONE] = "none",
        [REPLAY_RUNS] = "running",
        [REPLAY_DONE] = "done",
        [REPLAY_CANCELED] = "canceled",
        [REPLAY_FAILED] = "failed"};
    buf_str(out, "{\"rollup\":");
    json_out_string(out, slice_from(s->rollup));
    buf_printf(out,
        ",\"state\":\"%s\",\"records\":%" PRIu64 ",\"recordsRead\":%" PRIu64
        ",\"recordsPerSecond\":%.1f,\"secondsLeft\":",
        states[s->state], s->records, s->records_read, s->records_per_second);
    if (s->records_per_second > 0)
        buf_printf(out, "%.1f", (double)(s->records - s->records_read) / s->records_per_second);
    else
        buf_str(out, "null");
    if (s->state == REPLAY_DONE && s->whole_after_ms != INT64_MIN)
        buf_printf(out, ",\"wholeAfter\":%.3f", (double)s->whole_after_ms / 1e3);
    else
        buf_str(out, ",\"wholeAfter\":null");
    buf_printf(out, ",\"cells\":%" PRIu64 ",\"text\":", s->cells);
    json_out_string(out, slice_from(s->text));
    buf_char(out, '}');
}

bool replay_api(
    struct replays *replays, const struct replay_request *request, struct buf *out, struct err *err)
{
    struct replay_status status;
    bool ok = true;
    if (request->action == REPLAY_START)
        ok = replays_start(replays, request->rollup, request->from_ms, err);
    else if (request->action == REPLAY_CANCEL)
        ok = replays_cancel(replays, err);
    if (!ok)
        return false;
    replays_status(replays, &status);
    write_status(&status, out);
    return true;
}
