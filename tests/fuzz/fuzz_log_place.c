/* fuzz_log_place.c - any text is safe to read as X-Position, and what reads survives a round trip and is judged */
#include "protocol/log_place.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const named_log_place_t *named)
{
    const position_t at = {.history = named->place.history, .epoch = 7, .seq = 70};
    char text[LOG_PLACE_TEXT_BYTES];
    uint8_t packed[LOG_PLACE_BYTES];
    named_log_place_t back[LOG_PLACES_MAX];
    size_t count = 0;
    err_t err;

    log_place_format(named->partition, &named->place, text);
    INVARIANT(log_place_list_read(back, &count, text, &err) == ERR_NONE && count == 1);
    INVARIANT(back[0].partition == named->partition && back[0].place.seq == named->place.seq);
    INVARIANT(back[0].place.epoch == named->place.epoch);
    INVARIANT(hash_equal(&back[0].place.history, &named->place.history));
    log_place_pack(&named->place, packed);
    const log_place_t again = log_place_unpack(packed);
    INVARIANT(again.epoch == named->place.epoch && again.seq == named->place.seq);
    /* Of the present epoch: reached or still to come. */
    if (named->place.epoch == at.epoch)
        INVARIANT(log_place_judge(&at, &named->place) ==
                  (named->place.seq <= at.seq ? LOG_PLACE_REACHED : LOG_PLACE_AHEAD));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    named_log_place_t list[LOG_PLACES_MAX];
    char *text = memory_zalloc(n + 1);
    size_t count = 0;
    err_t err;

    memcpy(text, bytes, n);
    if (log_place_list_read(list, &count, text, &err) == ERR_NONE) {
        INVARIANT(count > 0 && count <= LOG_PLACES_MAX);
        for (size_t i = 0; i < count; i++)
            check(&list[i]);
    } else {
        INVARIANT(err.code == ERR_INVALID && err.text[0] != 0);
    }
    free(text);
    return 0;
}
