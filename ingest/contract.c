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

/* History produced anew is older than its records, too; what is newer would make all that follows
 * late. Against the partition's own past nothing is too early: one gap longer than ahead_ms would
 * refuse all the rest. */
enum refusal contract_judge_time(const struct contract *contract, int64_t time_ms,
    int64_t timestamp_ms, int64_t newest_ms, int64_t *arrival_ms)
{
    *arrival_ms = timestamp_ms;
    if (timestamp_ms != INT64_MIN && (int128)time_ms - timestamp_ms > contract->ahead_ms)
        return REFUSED_AHEAD;
    if (contract->arrival_partition)
        *arrival_ms = newest_ms;
    bool late = *arrival_ms != INT64_MIN && (int128)*arrival_ms - time_ms > contract->late_ms;
    return late ? REFUSED_LATE : REFUSED_NOT;
}
