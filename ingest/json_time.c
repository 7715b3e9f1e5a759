/*
 * RFC 3339 to milliseconds since 1970. The calendar arithmetic counts days from March, so that the
 * leap day is the last of its year (the algorithm is Howard Hinnant's days_from_civil).
 */
#include "ingest/json_event.h"

/* n digits at p as a number; -1 when one is not a digit. */
static inline int digits_at(const char *p, int n)
{
    int v = 0;
    for (int i = 0; i < n; i++) {
        unsigned d = (unsigned)(uint8_t)p[i] - '0';
        if (d > 9)
            return -1;
        v = v * 10 + (int)d;
    }
    return v;
}

static int64_t days_since_1970(int year, int month, int day)
{
    year -= month <= 2;
    int era = (year >= 0 ? year : year - 399) / 400;
    int year_of_era = year - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

static int days_of_month(int year, int month)
{
    static const int8_t days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month] + (month == 2 && leap);
}

/* "Z", "z", "+hh:mm", "-hh:mm" and nothing behind. */
static bool offset_parse(const char *p, const char *end, int *minutes)
{
    if (end - p == 1 && (*p == 'Z' || *p == 'z')) {
        *minutes = 0;
        return true;
    }
    if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':')
        return false;
    int hour = digits_at(p + 1, 2), minute = digits_at(p + 4, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return false;
    *minutes = (hour * 60 + minute) * (*p == '-' ? -1 : 1);
    return true;
}

/* Cut after the third digit, not rounded: a time never moves into the next window. */
static const char *fraction_parse(const char *p, const char *end, int *ms)
{
    const char *first = p;
    int unit = 100;
    for (*ms = 0; p < end && (uint8_t)(*p - '0') < 10; p++, unit /= 10)
        *ms += (*p - '0') * unit;
    return p > first ? p : NULL;
}

bool time_parse_rfc3339(struct slice text, int64_t *ms)
{
    const char *p = text.ptr, *end = p + text.len;
    if (text.len < 20 || p[4] != '-' || p[7] != '-' || (p[10] != 'T' && p[10] != 't') ||
        p[13] != ':' || p[16] != ':')
        return false;
    int year = digits_at(p, 4), month = digits_at(p + 5, 2), day = digits_at(p + 8, 2);
    int hour = digits_at(p + 11, 2), minute = digits_at(p + 14, 2), second = digits_at(p + 17, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month) ||
        hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    p += 19;
    int millis = 0, offset;
    if (*p == '.' && !(p = fraction_parse(p + 1, end, &millis)))
        return false;
    if (!offset_parse(p, end, &offset))
        return false;
    int64_t minutes = days_since_1970(year, month, day) * 1440 + hour * 60 + minute - offset;
    if (second == 60) {
        /* A leap second ends a day of UTC; unix time has no place for it but the end of :59. */
        if ((minutes % 1440 + 1440) % 1440 != 1439)
            return false;
        second = 59;
        millis = 999;
    }
    *ms = minutes * 60000 + second * 1000 + millis;
    return true;
}
