/* The times of events: base's RFC 3339, and the leap second, which producers send and unix time has
 * not. */
#include "base/rfc3339.h"
#include "ingest/json_event.h"

#define LEAP_TEXT_MAX 64

/* "23:59:60", in whatever offset, is the end of 23:59:59 UTC. */
static bool parse_leap(struct slice text, int64_t *ms)
{
    char copy[LEAP_TEXT_MAX];
    if (text.len > sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    memcpy(copy + 17, "59", 2);
    if (!rfc3339_parse(slice_of(copy, text.len), ms))
        return false;
    int64_t day = ((*ms % 86400000) + 86400000) % 86400000;
    *ms += 999 - day % 1000;
    return day / 1000 == 86399;
}

bool time_parse_rfc3339(struct slice text, int64_t *ms)
{
    if (text.len > 19 && text.ptr[19] == ',') /* ISO 8601's comma is not RFC 3339's */
        return false;
    if (text.len >= 20 && text.ptr[17] == '6' && text.ptr[18] == '0')
        return parse_leap(text, ms);
    return rfc3339_parse(text, ms);
}
