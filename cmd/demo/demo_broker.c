#include "cmd/demo/demo_broker.h"

#include <errno.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define START_MS 10000
#define STOP_MS  2000

struct demo_broker {
    pid_t pid; /* 0: has ended, and was waited for */
    int life;  /* the write end of a pipe that the child reads: closed, it ends */
    char addresses[256];
};

/* ---- the child ---- */

static rd_kafka_mock_cluster_t *open_cluster(
    const struct demo_broker_topic *topics, size_t n_topics, char *text, size_t size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, size);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, 1);
    if (!cluster) {
        snprintf(text, size, "librdkafka's mock cluster does not start");
        return NULL;
    }
    for (size_t i = 0; i < n_topics; i++) {
        rd_kafka_resp_err_t e =
            rd_kafka_mock_topic_create(cluster, topics[i].name, topics[i].partitions, 1);
        if (e != RD_KAFKA_RESP_ERR_NO_ERROR) {
            snprintf(text, size, "topic %s: %s", topics[i].name, rd_kafka_err2str(e));
            return NULL;
        }
    }
    return cluster;
}

static bool tell(int fd, char code, const char *text)
{
    size_t len = strlen(text) + 1;
    return write(fd, &code, 1) == 1 && write(fd, text, len) == (ssize_t)len;
}

/* Serves until the parent closes its end of `life`, or dies. The terminal sends its signals to the
 * whole process group, and the parent still reads from us while it ends: they are not for us. The
 * system ends our threads with us, so nothing is taken down. */
static _Noreturn void serve(
    const struct demo_broker_topic *topics, size_t n_topics, pid_t parent, int life, int report)
{
    char text[256] = "";
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    prctl(PR_SET_NAME, "larder-broker");
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    rd_kafka_mock_cluster_t *cluster = open_cluster(topics, n_topics, text, sizeof text);
    if (!cluster) {
        (void)tell(report, '!', text);
        _exit(1);
    }
    if (!tell(report, '=', rd_kafka_mock_cluster_bootstraps(cluster)))
        _exit(1);
    close(report);
    char byte;
    while (read(life, &byte, 1) < 0 && errno == EINTR)
        ;
    _exit(0);
}

/* ---- the parent ---- */

/* What the child says first: a code and a text that ends in NUL. */
static bool hear(int fd, char *out, size_t size, struct err *err)
{
    int64_t end_ns = clock_mono_ns() + START_MS * (int64_t)1000000;
    size_t len = 0;
    while (len < 2 || out[len - 1] != 0) {
        int64_t left_ms = (end_ns - clock_mono_ns()) / 1000000;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = left_ms > 0 ? poll(&wait, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return err_set(err, ERR_TIMEOUT, "the demo's broker does not answer");
        ssize_t n = len < size ? read(fd, out + len, size - len) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(err, ERR_UNAVAILABLE, "the demo's broker has ended");
        len += (size_t)n;
    }
    if (out[0] != '=')
        return err_set(err, ERR_UNAVAILABLE, "the demo's broker: %s", out + 1);
    return true;
}

static bool make_pipes(int life[2], int report[2], struct err *err)
{
    if (pipe2(life, O_CLOEXEC) != 0)
        return err_sys(err, "cannot make a pipe");
    if (pipe2(report, O_CLOEXEC) != 0) {
        err_sys(err, "cannot make a pipe");
        close(life[0]);
        close(life[1]);
        return false;
    }
    return true;
}

bool demo_broker_start(const struct demo_broker_topic *topics, size_t n_topics,
    struct demo_broker **out, struct err *err)
{
    int life[2], report[2];
    if (!make_pipes(life, report, err))
        return false;
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(life[1]);
        close(report[0]);
        serve(topics, n_topics, parent, life[0], report[1]);
    }
    close(life[0]);
    close(report[1]);
    if (pid < 0) {
        err_sys(err, "cannot start the demo's broker");
        close(life[1]);
        close(report[0]);
        return false;
    }
    struct demo_broker *broker = xcalloc(1, sizeof *broker);
    broker->pid = pid;
    broker->life = life[1];
    char heard[sizeof broker->addresses + 1];
    bool ok = hear(report[0], heard, sizeof heard, err);
    close(report[0]);
    if (!ok) {
        demo_broker_stop(&broker);
        return false;
    }
    memcpy(broker->addresses, heard + 1, strlen(heard + 1) + 1);
    *out = broker;
    return true;
}

const char *demo_broker_addresses(const struct demo_broker *broker)
{
    return broker->addresses;
}

bool demo_broker_runs(struct demo_broker *broker)
{
    if (broker->pid > 0 && waitpid(broker->pid, NULL, WNOHANG) == broker->pid)
        broker->pid = 0;
    return broker->pid > 0;
}

void demo_broker_stop(struct demo_broker **broker)
{
    struct demo_broker *b = *broker;
    if (!b)
        return;
    close(b->life);
    int64_t end_ns = clock_mono_ns() + STOP_MS * (int64_t)1000000;
    while (demo_broker_runs(b) && clock_mono_ns() < end_ns)
        clock_sleep_ms(5);
    if (b->pid > 0) {
        kill(b->pid, SIGKILL);
        while (waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    free(b);
    *broker = NULL;
}
