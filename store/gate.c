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

void gate_enter(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    while (gate->closed || gate->waiting > 0)
        wait_changed(gate);
    gate->readers++;
    mutex_unlock(&gate->mutex);
}

void gate_peek(struct gate *gate)
{
    mutex_lock(&gate->mutex);
    while (gate->closed)
        wait_changed(gate);
    gate->readers++;
    mutex_unlock(&gate->mutex);
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
