#include "base/rfc3339.h"

#include <stdio.h>

#define MS_PER_DAY INT64_C(86400000)

/* Days since 1970-01-01, and back: the era arithmetic of Howard Hinnant's "chrono-compatible
 * low-level date algorithms". Years start in March, so that the leap day is the last of its year.
 */
static int64_t days_from_civil(int64_t y, int m, int d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t z, int64_t *y, int *m, int *d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *d = (int)(doy - (153 * mp + 2) / 5 + 1);
    *m = (int)(mp < 10 ? mp + 3 : mp - 9);
    *y = yoe + era * 400 + (*m <= 2);
}

static int days_in_month(int64_t y, int m)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m == 2 && leap ? 29 : days[m - 1];
}

/* A run over the text; every step fails when the text is not what it should be. */
struct scan {
    const char *at, *end;
};

static bool take(struct scan *s, const char *any)
{
    if (s->at == s->end || !*any)
        return false;
    for (; *any; any++)
        if (*s->at == *any) {
            s->at++;
            return true;
        }
    return false;
}

static bool digits(struct scan *s, int n, int *out)
{
    int v = 0;
    if (s->end - s->at < n)
        return false;
    for (int i = 0; i < n; i++) {
        char c = *s->at++;
        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (c - '0');
    }
    *out = v;
    return true;
}

static bool fraction(struct scan *s, int *ms)
{
    *ms = 0;
    if (!take(s, ".,"))
        return true;
    int n = 0;
    for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++, n++)
        if (n < 3)
            *ms = *ms * 10 + (*s->at - '0');
    for (int i = n; i < 3; i++)
        *ms *= 10;
    return n > 0;
}

static bool zone(struct scan *s, int *minutes)
{
    int h, m;
    *minutes = 0;
    if (take(s, "Zz"))
        return true;
    int sign = take(s, "+") ? 1 : take(s, "-") ? -1 : 0;
    if (!sign || !digits(s, 2, &h) || !take(s, ":") || !digits(s, 2, &m) || h > 23 || m > 59)
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

bool rfc3339_parse(struct slice text, int64_t *ms)
{
    struct scan s = {text.ptr, text.ptr + text.len};
    int year, month, day, hour, min, sec, milli, offset;
    if (!digits(&s, 4, &year) || !take(&s, "-") || !digits(&s, 2, &month) || !take(&s, "-") ||
        !digits(&s, 2, &day) || !take(&s, "Tt") || !digits(&s, 2, &hour) || !take(&s, ":") ||
        !digits(&s, 2, &min) || !take(&s, ":") || !digits(&s, 2, &sec) || !fraction(&s, &milli) ||
        !zone(&s, &offset) || s.at != s.end)
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        min > 59 || sec > 59)
        return false;
    int64_t minutes = (int64_t)hour * 60 + min - offset;
    *ms = days_from_civil(year, month, day) * MS_PER_DAY + minutes * 60000 + sec * 1000 + milli;
    return true;
}

size_t rfc3339_format(int64_t ms, char out[RFC3339_MAX])
{
    int64_t days = ms / MS_PER_DAY, rest = ms % MS_PER_DAY, year;
    if (rest < 0) {
        days--;
        rest += MS_PER_DAY;
    }
    int month, day;
    if (days < days_from_civil(0, 1, 1) || days >= days_from_civil(10000, 1, 1))
        return (size_t)snprintf(out, RFC3339_MAX, "@%lld", (long long)(ms / 1000));
    civil_from_days(days, &year, &month, &day);
    int t = (int)rest, sec = t / 1000;
    int n = snprintf(out, RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, month, day,
        sec / 3600, sec / 60 % 60, sec % 60);
    if (t % 1000)
        n += snprintf(out + n, RFC3339_MAX - (size_t)n, ".%03d", t % 1000);
    n += snprintf(out + n, RFC3339_MAX - (size_t)n, "Z");
    return (size_t)n;
}
