/* progress.c - draws the line */
#include "bench/progress.h"

#include "bench/elapsed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REDRAW_NS INT64_C(190000000)
#define BAR_CELLS 30

void progress_begin(progress_t *self, bool on, uint64_t total)
{
    memset(self, 0, sizeof(*self));
    self->on = on;
    self->total = total;
    self->began_ns = elapsed_ns();
    self->shown_ns = self->began_ns;
}

void progress_show(progress_t *self, uint64_t done, const char *what, double seconds_left)
{
    char bar[BAR_CELLS + 1];
    int64_t now;

    if (!self->on || (now = elapsed_ns()) - self->shown_ns < REDRAW_NS)
        return;
    double rate = (double)(done - self->shown) * 1e9 / (double)(now - self->shown_ns);
    if (self->total > 0) {
        double part = (double)done / (double)self->total;
        unsigned cells = part >= 1.0 ? BAR_CELLS : (unsigned)(part * BAR_CELLS);
        memset(bar, '#', cells);
        memset(bar + cells, '.', BAR_CELLS - cells);
        bar[BAR_CELLS] = '\0';
        /* Time left from the mean rate: the last moment's jumps too much. */
        if (seconds_left < 0.0 && done > 0)
            seconds_left = (double)(now - self->began_ns) / 1e9 * (1.0 / part - 1.0);
        fprintf(stderr, "\r%s [%s] %5.1f %%  %.0f/s  %.0f s left   ", what, bar, part * 100.0, rate,
                seconds_left < 0.0 ? 0.0 : seconds_left);
    } else {
        fprintf(stderr, "\r%s  %.0f/s  %.0f s left     ", what, rate,
                seconds_left < 0.0 ? 0.0 : seconds_left);
    }
    fflush(stderr);
    self->shown_ns = now;
    self->shown = done;
}

void progress_end(progress_t *self, uint64_t done)
{
    if (!self->on)
        return;
    if (self->total > 0)
        fprintf(stderr, "\r%*s\r%" PRIu64 " in %.1f s\n", 78, "", done,
                (double)(elapsed_ns() - self->began_ns) / 1e9);
    else
        fprintf(stderr, "\r%*s\r", 78, "");
    fflush(stderr);
}

bool progress_wanted(void)
{
    return isatty(STDERR_FILENO) == 1;
}
