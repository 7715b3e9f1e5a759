#include "ingest/lateness.h"

#include "base/number.h"

const int64_t lateness_bounds_ms[LATENESS_BOUNDS] = {
    0, 100, 500, 1000, 5000, 15000, 60000, 300000, 900000, 3600000, 14400000, 86400000};

void lateness_add(struct lateness *lateness, int64_t timestamp_ms, int64_t time_ms)
{
    int128 late_ms = (int128)timestamp_ms - time_ms;
    int i = 0;
    while (i < LATENESS_BOUNDS && late_ms > lateness_bounds_ms[i])
        i++;
    lateness->counts[i]++;
    lateness->sum_s += (double)late_ms / 1000;
}
