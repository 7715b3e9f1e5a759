#include "ingest/contract.h"

#include "base/ensure.h"
#include "base/number.h"

const char *refusal_name(enum refusal refusal)
{
    static const char *const names[REFUSALS] = {
        [REFUSED_NOT] = "accepted",
        [REFUSED_MALFORMED] = "malformed",
        [REFUSED_SCHEMA] = "schema",
        [REFUSED_MISSING] = "missing",
        [REFUSED_TYPE] = "type",
        [REFUSED_RANGE] = "range",
        [REFUSED_NOT_ALLOWED] = "not_allowed",
        [REFUSED_LATE] = "late",
        [REFUSED_AHEAD] = "ahead",
    };
    ensure((unsigned)refusal < REFUSALS);
    return names[refusal];
}

enum refusal contract_judge_time(
    const struct contract *contract, int64_t time_ms, int64_t arrival_ms)
{
    int128 behind = (int128)arrival_ms - time_ms;
    if (behind > contract->late_ms)
        return REFUSED_LATE;
    /* Judged against the partition's own past, one gap longer than ahead_ms would refuse all that
     * follows. */
    if (!contract->arrival_partition && -behind > contract->ahead_ms)
        return REFUSED_AHEAD;
    return REFUSED_NOT;
}
