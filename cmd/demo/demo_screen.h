/*
 * What the demo shows while it runs: on a terminal one line that is drawn again and again, with a
 * bar while the history is loaded; elsewhere a line at each turn of events.
 */
#ifndef CMD_DEMO_SCREEN_H
#define CMD_DEMO_SCREEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct demo_screen {
    FILE *out;
    bool terminal;
    bool live, drawn;
    int64_t last_ns;
    uint64_t last_events;
    double rate; /* events per second, smoothed */
};

/* out: where; the terminal is found out. */
void demo_screen_init(struct demo_screen *screen, FILE *out);
/* part: of the history that is out, 0..1; events: read by the server so far; up_to_ms: the event
 * time of the newest. Draws at most some times a second. */
void demo_screen_show(struct demo_screen *screen, double part, bool live, uint64_t events,
    int64_t up_to_ms, int64_t now_ns);
/* Takes the line away, so that others can write. */
void demo_screen_clear(struct demo_screen *screen);

#endif
