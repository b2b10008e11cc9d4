/* pacing.c - a window over the rounds in the log, as TCP Vegas has one over packets: the delay itself says when to stop */
#include "actors/pacing.h"

#include "protocol/compiler.h"

#define ROUNDS_MAX 1024 /* more partitions than there are: no limit */
#define SPAN_US    INT64_C(60000000)
#define OVERDUE_US INT64_C(20000)
#define SMOOTH     8 /* rounds */
#define CROWDED    8 /* times the least: fewer, please */
#define CALM       4

void pacing_init(pacing_t *self)
{
    *self = (pacing_t){.rounds = PACING_ROUNDS_MIN};
}

/* The least time is that of the last one or two minutes: a log may move farther away. */
static int64_t least(const pacing_t *self)
{
    return self->earlier_us != 0 && self->earlier_us < self->least_us ? self->earlier_us
                                                                      : self->least_us;
}

void pacing_landed(pacing_t *self, int64_t took_us, int64_t boot_us)
{
    int64_t took = took_us > 0 ? took_us : 1;

    if (self->least_us == 0 || boot_us - self->span_us >= SPAN_US) {
        self->earlier_us = self->least_us;
        self->least_us = took;
        self->span_us = boot_us;
    } else if (took < self->least_us) {
        self->least_us = took;
    }
    self->usual_us = self->usual_us == 0 ? took : self->usual_us + (took - self->usual_us) / SMOOTH;
    if (self->usual_us > CROWDED * least(self))
        self->rounds -= self->rounds > PACING_ROUNDS_MIN;
    else if (pacing_is_calm(self))
        self->rounds += self->rounds < ROUNDS_MAX;
}

bool pacing_is_calm(const pacing_t *self)
{
    return self->usual_us < CALM * least(self);
}

unsigned pacing_rounds(const pacing_t *self)
{
    return self->rounds;
}

int64_t pacing_overdue_us(const pacing_t *self)
{
    int64_t late_us = 4 * self->usual_us;

    return late_us > OVERDUE_US ? late_us : OVERDUE_US;
}
