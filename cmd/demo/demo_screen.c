#include "cmd/demo/demo_screen.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 30
#define DRAW_NS   200000000

void demo_screen_init(struct demo_screen *screen, FILE *out)
{
    *screen = (struct demo_screen){.out = out, .terminal = isatty(fileno(out)) == 1};
}

static void draw_bar(struct demo_screen *screen, double part, int64_t up_to_ms)
{
    char bar[BAR_WIDTH + 1], clock[16];
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '=', (size_t)(part * BAR_WIDTH));
    bar[BAR_WIDTH] = 0;
    time_t seconds = (time_t)(up_to_ms / 1000);
    struct tm tm;
    strftime(clock, sizeof clock, "%H:%M", localtime_r(&seconds, &tm));
    fprintf(screen->out, "\r\033[K  history [%s] %3.0f%%  %s  %.0f events/s", bar, part * 100,
        clock, screen->rate);
}

void demo_screen_show(struct demo_screen *screen, double part, bool live, uint64_t events,
    int64_t up_to_ms, int64_t now_ns)
{
    bool turn = live && !screen->live;
    if (turn) {
        demo_screen_clear(screen);
        fprintf(
            screen->out, "  history loaded: %llu events; live now\n", (unsigned long long)events);
        screen->live = true;
        screen->rate = 0;
    } else if (now_ns - screen->last_ns < DRAW_NS || !screen->terminal) {
        return;
    }
    if (screen->last_ns > 0 && !turn) {
        double now =
            (double)(events - screen->last_events) / (double)(now_ns - screen->last_ns) * 1e9;
        screen->rate = screen->rate > 0 ? screen->rate * 0.9 + now * 0.1 : now;
    }
    screen->last_ns = now_ns;
    screen->last_events = events;
    if (!screen->terminal)
        return;
    if (live)
        fprintf(screen->out, "\r\033[K  live: %llu events, %.0f/s", (unsigned long long)events,
            screen->rate);
    else
        draw_bar(screen, part, up_to_ms);
    fflush(screen->out);
    screen->drawn = true;
}

void demo_screen_clear(struct demo_screen *screen)
{
    if (screen->drawn)
        fputs("\r\033[K", screen->out);
    screen->drawn = false;
}
