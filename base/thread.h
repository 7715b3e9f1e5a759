/*
 * Threads have a name and a job. These wrappers make a failing pthread call, which is always a
 * programmer's mistake, stop the program.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

typedef void *thread_f(void *arg);

/* name: at most 15 bytes are shown by the system. All signals are blocked in the new thread. */
void thread_start(pthread_t *thread, const char *name, thread_f *run, void *arg);
void thread_join(pthread_t thread);

void mutex_init(pthread_mutex_t *mutex);
void mutex_lock(pthread_mutex_t *mutex);
void mutex_unlock(pthread_mutex_t *mutex);
/* A condition variable on the monotonic clock. */
void cond_init(pthread_cond_t *cond);
/* Waits at most ms milliseconds. May wake up early. */
void cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t ms);

#endif
