/* test_log_place.c - X-Position: reading it, and judging it on a copy of the log */
#include "protocol/log_place.h"
#include "storage/journal.h"

#include <criterion/criterion.h>
#include <stdio.h>

static const char *const text_of_three = "3:000102030405060708090a0b0c0d0e0f:7:41";

static named_log_place_t log_place_text(const char *text)
{
    named_log_place_t list[LOG_PLACES_MAX];
    size_t count = 0;

    cr_assert_eq(log_place_list_read(list, &count, text, NULL), ERR_NONE, "%s", text);
    cr_assert_eq(count, 1);
    return list[0];
}

Test(log_place, is_written_as_it_is_read)
{
    named_log_place_t place = log_place_text(text_of_three);
    char text[LOG_PLACE_TEXT_BYTES];

    cr_assert_eq(place.partition, 3);
    cr_assert_eq(place.place.history.bytes[15], 0x0f);
    cr_assert_eq(place.place.epoch, 7);
    cr_assert_eq(place.place.seq, 41);
    log_place_format(place.partition, &place.place, text);
    cr_assert_str_eq(text, text_of_three);
    place.partition = UINT16_MAX;
    place.place.epoch = place.place.seq = UINT64_MAX; /* the longest */
    log_place_format(place.partition, &place.place, text);
    cr_assert_str_eq(text, "65535:000102030405060708090a0b0c0d0e0f:18446744073709551615:"
                           "18446744073709551615");
    cr_assert_eq(log_place_text(text).place.seq, UINT64_MAX);
}

Test(log_place, several_stand_in_one_text_and_blanks_do_not_count)
{
    named_log_place_t list[LOG_PLACES_MAX];
    size_t count = 0;
    char text[256];

    snprintf(text, sizeof text, " %s ,\t4:FFffFFffFFffFFffFFffFFffFFffFFff:1:0", text_of_three);
    cr_assert_eq(log_place_list_read(list, &count, text, NULL), ERR_NONE);
    cr_assert_eq(log_place_list_read(list, &count, text_of_three, NULL), ERR_NONE);
    cr_assert_eq(count, 3);
    cr_assert_eq(list[1].partition, 4);
    cr_assert_eq(list[1].place.history.bytes[0], 0xff);
    cr_assert_eq(list[2].place.seq, 41);
}

Test(log_place, what_is_none_is_refused_and_the_form_is_named)
{
    static const char *const wrong[] = {
        "",
        ",",
        "3",
        "3:00:1:1",
        "3:000102030405060708090a0b0c0d0e0f",
        "3:000102030405060708090a0b0c0d0e0f:7",
        "3:000102030405060708090a0b0c0d0e0f:7:",
        "3:000102030405060708090a0b0c0d0e0f::1",
        "3:000102030405060708090a0b0c0d0e0f:0:1",
        "3:000102030405060708090a0b0c0d0e0f:7:41:",
        "3:000102030405060708090a0b0c0d0e0f:7:41,",
        "3:000102030405060708090a0b0c0d0e0f:7:4 1",
        "3:000102030405060708090a0b0c0d0e0f:-7:41",
        "3:000102030405060708090a0b0c0d0e0f:7:18446744073709551616",
        "3:000102030405060708090a0b0c0d0e0f:7:000000000000000000041",
        "3:000102030405060708090a0b0c0d0e0g:7:41",
        "3:000102030405060708090a0b0c0d0e0\x10:7:41",
        "65536:000102030405060708090a0b0c0d0e0f:7:41",
        ":000102030405060708090a0b0c0d0e0f:7:41",
    };
    named_log_place_t list[LOG_PLACES_MAX];
    err_t err;

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        size_t count = 0;
        cr_assert_eq(log_place_list_read(list, &count, wrong[i], &err), ERR_INVALID, "%s",
                     wrong[i]);
        cr_assert_str_eq(err.field, "X-Position");
        cr_assert_not_null(strstr(err.text, "partition:history:epoch:seq"));
    }
}

Test(log_place, a_request_names_a_bounded_number)
{
    named_log_place_t list[LOG_PLACES_MAX];
    size_t count = 0;
    err_t err;

    for (int i = 0; i < LOG_PLACES_MAX; i++)
        cr_assert_eq(log_place_list_read(list, &count, text_of_three, NULL), ERR_NONE);
    cr_assert_eq(log_place_list_read(list, &count, text_of_three, &err), ERR_INVALID);
    cr_assert_not_null(strstr(err.text, "At most 64"));
    cr_assert_eq(count, LOG_PLACES_MAX);
}

Test(log_place, travels_between_nodes_as_it_is)
{
    log_place_t place = log_place_text(text_of_three).place, back;
    uint8_t bytes[LOG_PLACE_BYTES];

    log_place_pack(&place, bytes);
    back = log_place_unpack(bytes);
    cr_assert_arr_eq(back.history.bytes, place.history.bytes, HASH_BYTES);
    cr_assert_eq(back.epoch, place.epoch);
    cr_assert_eq(back.seq, place.seq);
}

/* Epoch 9 at seq 100; the claims of epochs 9, 8, 7, 6 were accepted at seq 90, 70, 70, 40. */
static const position_t log_place_here = {.history = {{1}},
                                          .epoch = 9,
                                          .seq = 100,
                                          .ends = {90, 70, 70, 40},
                                          .effects_epoch = 9,
                                          .effects_seq = 97};

static log_place_verdict_t log_place_verdict(uint64_t epoch, uint64_t seq)
{
    const log_place_t place = {{{1}}, epoch, seq};

    return log_place_judge(&log_place_here, &place);
}

Test(log_place, is_reached_when_it_is_applied_and_waited_for_when_it_is_ahead)
{
    cr_assert_eq(log_place_verdict(9, 100), LOG_PLACE_REACHED);
    cr_assert_eq(log_place_verdict(9, 1), LOG_PLACE_REACHED);
    cr_assert_eq(log_place_verdict(9, 101), LOG_PLACE_AHEAD);
    cr_assert_eq(log_place_verdict(10, 100), LOG_PLACE_AHEAD); /* its claim was not read yet */
    cr_assert_eq(log_place_verdict(10, 1), LOG_PLACE_AHEAD);
}

Test(log_place, of_an_older_epoch_is_lost_above_its_end)
{
    cr_assert_eq(log_place_verdict(8, 90), LOG_PLACE_REACHED);
    cr_assert_eq(log_place_verdict(8, 91), LOG_PLACE_LOST);
    cr_assert_eq(log_place_verdict(7, 70), LOG_PLACE_REACHED);
    cr_assert_eq(log_place_verdict(7, 71), LOG_PLACE_LOST);
    cr_assert_eq(log_place_verdict(6, 71), LOG_PLACE_LOST);
    cr_assert_eq(log_place_verdict(5, 40), LOG_PLACE_REACHED);
    cr_assert_eq(log_place_verdict(5, 41), LOG_PLACE_LOST);
}

Test(log_place, of_an_epoch_whose_end_is_forgotten_is_judged_by_the_oldest_end_that_is_not)
{
    cr_assert_eq(log_place_verdict(1, 40), LOG_PLACE_REACHED);
    cr_assert_eq(log_place_verdict(1, 41), LOG_PLACE_LOST);
}

Test(log_place, of_another_history_is_lost_but_an_empty_copy_cannot_tell)
{
    const log_place_t other = {{{2}}, 9, 1};
    const position_t empty = {.epoch = 0};

    cr_assert_eq(log_place_judge(&log_place_here, &other), LOG_PLACE_LOST);
    cr_assert_eq(log_place_judge(&empty, &other), LOG_PLACE_AHEAD);
}

/* The ends move on with each claim that is accepted. */
Test(log_place, a_position_remembers_where_the_last_epochs_ended)
{
    position_t at = {.epoch = 0};

    for (uint64_t epoch = 1; epoch <= POSITION_ENDS + 2; epoch++) {
        uint8_t record[RECORD_HEADER_BYTES + 8] = {0};
        record_header_t header = {.kind = RECORD_CLAIM,
                                  .history = {{1}},
                                  .epoch = epoch,
                                  .incarnation = {{2}},
                                  .body_bytes = 8};
        record_reason_t reason;

        record[RECORD_HEADER_BYTES] = (uint8_t)(epoch - 1);
        record_encode_header(&header, record + RECORD_HEADER_BYTES, record);
        cr_assert_eq(record_judge(&at, &header, record, sizeof record, 0, &reason), VERDICT_ACCEPT);
        at.seq += 10;
    }
    for (uint64_t i = 0; i < POSITION_ENDS; i++)
        cr_assert_eq(at.ends[i], (POSITION_ENDS + 1 - i) * 10);
}

Test(log_place, the_ends_are_stored_with_the_position)
{
    position_t back;
    buffer_t bytes;

    buffer_init(&bytes, 1024);
    journal_position_encode(&log_place_here, &bytes);
    cr_assert(journal_position_decode(&back, bytes.bytes, bytes.size));
    cr_assert_arr_eq(back.ends, log_place_here.ends, sizeof back.ends);
    cr_assert_eq(back.effects_epoch, 9);
    cr_assert_eq(back.effects_seq, 97);
    cr_assert_eq(log_place_of(&back).seq, 97);
    /* Version 1: seven small numbers less. */
    bytes.bytes[0] = 1;
    cr_assert(journal_position_decode(&back, bytes.bytes, bytes.size - POSITION_ENDS - 3));
    cr_assert_eq(log_place_of(&back).seq, 100);
    for (size_t i = 0; i < POSITION_ENDS; i++)
        cr_assert_eq(back.ends[i], 100);
    buffer_free(&bytes);
}
