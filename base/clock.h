/*
 * The only place where a clock is read. Store, ingest and query get the time as a parameter; cmd
 * and api call these.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970-01-01 UTC. */
int64_t clock_now_ms(void);
/* Nanoseconds of a clock that never goes back, for durations. */
int64_t clock_mono_ns(void);
/* CPU nanoseconds used by this process. */
int64_t clock_cpu_ns(void);
/* CPU nanoseconds used by the calling thread. A system call: not for every event. */
int64_t clock_thread_cpu_ns(void);
void clock_sleep_ms(int64_t ms);

#endif
