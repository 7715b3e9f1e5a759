#include "store/gate.h"

#include "base/ensure.h"
#include "base/thread.h"

void gate_init(struct gate *gate)
{
    *gate = (struct gate){0};
    mutex_init(&gate->mutex);
    cond_init(&gate->changed);
}

void gate_fini(struct gate *gate)
{
    ensure(gate->readers == 0 && !gate->closed);
    pthread_mutex_destroy(&gate->mutex);
    pthread_cond_destroy(&gate->changed);
}

static void wait_changed(struct gate *gate)
{
    ensure(pthread_cond_wait(&gate->changed, &gate->mutex) == 0);
}

/* In, when the gate is open, and unless `polite` to those who want to be alone. */
static void enter(struct gate *gate, bool polite)
{
    mutex_lock(&gate->mutex);
    if (gate->closed || (polite && gate->waiting > 0)) {
        gate->entering++;
        while (gate->closed || (polite && gate->waiting > 0))
            wait_changed(gate);
        gate->entering--;
        gate->entered++;
        ensure(pthread_cond_broadcast(&gate->changed) == 0);
    }
    gate->readers++;
    mutex_unlock(&gate->mutex);
}

void gate_enter(struct gate *gate)
{
    enter(gate, true);
}

void gate_peek(struct gate *gate)
{
    enter(gate, false);
}

void gate_leave(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    ensure(gate->readers > 0);
    if (--gate->readers == 0 && gate->waiting > 0)
        ensure(pthread_cond_broadcast(&gate->changed) == 0);
    mutex_unlock(&gate->mutex);
}

bool gate_try(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    bool ok = gate->readers == 0 && !gate->closed;
    if (ok)
        gate->closed = true;
    mutex_unlock(&gate->mutex);
    return ok;
}

void gate_close(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    uint64_t first = gate->entered + gate->entering;
    while (gate->entered < first)
        wait_changed(gate);
    gate->waiting++;
    while (gate->readers > 0 || gate->closed)
        wait_changed(gate);
    gate->waiting--;
    gate->closed = true;
    mutex_unlock(&gate->mutex);
}

void gate_open(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    ensure(gate->closed);
    gate->closed = false;
    ensure(pthread_cond_broadcast(&gate->changed) == 0);
    mutex_unlock(&gate->mutex);
}
