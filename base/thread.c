#include "base/thread.h"

#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "base/ensure.h"

void thread_start(pthread_t *thread, const char *name, thread_f *run, void *arg)
{
    sigset_t all, old;
    sigfillset(&all);
    ensure(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    ensure(pthread_create(thread, NULL, run, arg) == 0);
    ensure(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    char shown[16] = {0};
    for (int i = 0; i < 15 && name[i]; i++)
        shown[i] = name[i];
    pthread_setname_np(*thread, shown);
}

void thread_join(pthread_t thread)
{
    ensure(pthread_join(thread, NULL) == 0);
}

void mutex_init(pthread_mutex_t *mutex)
{
    ensure(pthread_mutex_init(mutex, NULL) == 0);
}

void mutex_lock(pthread_mutex_t *mutex)
{
    ensure(pthread_mutex_lock(mutex) == 0);
}

void mutex_unlock(pthread_mutex_t *mutex)
{
    ensure(pthread_mutex_unlock(mutex) == 0);
}

void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    ensure(pthread_condattr_init(&attr) == 0);
    ensure(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    ensure(pthread_cond_init(cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

void cond_wait_ms(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t ms)
{
    int64_t at = clock_mono_ns() + ms * 1000000;
    struct timespec ts = {at / 1000000000, at % 1000000000};
    (void)pthread_cond_timedwait(cond, mutex, &ts);
}
