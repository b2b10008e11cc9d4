/* test_verify.c - the proof of the books finds what was changed behind their back */
#include "node/verify.h"

#include "actors/message.h"
#include "actors/transfer.h"
#include "node/offline.h"
#include "tests/unit/scratch.h"

static scratch_t directory;
static uint64_t alice, bob; /* accounts */
static uint64_t purchase;   /* alice's first entry */
static uuid16_t alice_id = {{1}}, bob_id = {{2}};
static uint16_t alice_partition;

static result_t told(offline_t *books, command_t *command, uint16_t partition)
{
    static buffer_t answer;
    static result_t result;
    err_t err = {0};

    if (answer.max == 0)
        buffer_init(&answer, 1 << 20);
    buffer_reset(&answer);
    cr_assert_eq(offline_command(books, partition, command, &answer, &err), ERR_NONE, "%s %s",
                 err.field, err.text);
    cr_assert_eq(result_decode(&result, answer.bytes, answer.size, NULL), ERR_NONE);
    cr_assert_lt(result.status, 300, "%.*s", (int)result.error.n, result.error.bytes);
    return result;
}

static uint64_t enrol(offline_t *books, const uuid16_t *customer)
{
    command_t command = {.kind = COMMAND_ENROL,
                         .operation = OPERATION_ENROL,
                         .customer = *customer,
                         .program = 1,
                         .points = 500,
                         .rights = RIGHT_ADJUST};

    return told(books, &command,
                partition_of_slot(slot_of_customer(customer), offline_birth(books)->partitions))
        .account;
}

static void make_books(void)
{
    offline_t *books = NULL;
    err_t err = {0};

    directory = scratch_new();
    cr_assert_eq(offline_open(&books, directory.path, true, &err), ERR_NONE, "%s", err.text);
    uint16_t partitions = offline_birth(books)->partitions;
    command_t program = {.kind = COMMAND_DEFINE,
                         .operation = OPERATION_DEFINE,
                         .resource = RESOURCE_PROGRAM,
                         .body =
                             text_of("{\"name\":\"Club\",\"start_date\":\"2000-01-01T00:00:00Z\","
                                     "\"end_date\":\"2099-01-01T00:00:00Z\"}")};

    (void)told(books, &program, partitions);
    while (partition_of_slot(slot_of_customer(&bob_id), partitions) ==
           partition_of_slot(slot_of_customer(&alice_id), partitions))
        bob_id.bytes[1]++; /* so that the transfer crosses partitions */
    alice_partition = partition_of_slot(slot_of_customer(&alice_id), partitions);
    alice = enrol(books, &alice_id);
    bob = enrol(books, &bob_id);
    for (int i = 0; i < 3; i++) {
        command_t earn = {.kind = COMMAND_EARN,
                          .operation = OPERATION_EARN,
                          .customer = alice_id,
                          .program = 1,
                          .amount = (int128_t)(100 + i) * 1000000,
                          .key = text_of(i == 0   ? "k0"
                                         : i == 1 ? "k1"
                                                  : "k2"),
                          .key_hash = {{(uint8_t)i, 1}}};
        result_t result = told(books, &earn, alice_partition);

        if (i == 0)
            purchase = result.entry;
    }
    command_t burn = {.kind = COMMAND_BURN,
                      .operation = OPERATION_BURN,
                      .customer = alice_id,
                      .program = 1,
                      .points = 550};
    command_t transfer = {.kind = COMMAND_TRANSFER,
                          .operation = OPERATION_TRANSFER,
                          .customer = alice_id,
                          .program = 1,
                          .to_customer = bob_id,
                          .points = 25};
    (void)told(books, &burn, alice_partition);
    (void)told(books, &transfer, alice_partition);
    offline_close(&books);
}

static void remove_books(void)
{
    scratch_remove(&directory);
}

TestSuite(verify, .init = make_books, .fini = remove_books, .timeout = 120);

static void prove(verify_t *books, const together_t *together)
{
    err_t err = {0};

    verify_init(books, together);
    for (uint16_t partition = 0; partition <= together->partitions; partition++)
        if (together->owner[partition] != NULL)
            cr_assert_eq(verify_partition(books, partition, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(verify_pairs(books, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(verify_transit(books, &err), ERR_NONE, "%s", err.text);
    verify_whole(books);
}

/* Runs the whole proof. */
static uint64_t all_faults(char shown[VERIFY_SHOWN][400])
{
    verify_t *books = memory_zalloc(sizeof *books);
    birth_t *birth = memory_zalloc(sizeof *birth);
    together_t *together = memory_zalloc(sizeof *together);
    store_t *store = NULL;
    store_config_t config;
    bool found = false;
    err_t err = {0};

    store_config_default(&config);
    config.directory = directory.path;
    config.read_only = true;
    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    cr_assert_eq(genesis_load(store, birth, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(together_add(together, store, birth, &err), ERR_NONE, "%s", err.text);
    prove(books, together);
    uint64_t wrong = books->wrong;
    memcpy(shown, books->shown, sizeof books->shown);
    verify_free(books);
    store_destroy(&store);
    free(books);
    free(birth);
    free(together);
    return wrong;
}

/* The first sentence goes to `sentence`. */
static uint64_t faults(char sentence[400])
{
    static char shown[VERIFY_SHOWN][400];
    uint64_t wrong = all_faults(shown);

    memcpy(sentence, shown[0], 400);
    return wrong;
}

static store_t *open_for_tampering(void)
{
    store_t *store = NULL;
    store_config_t config;
    err_t err = {0};

    store_config_default(&config);
    config.directory = directory.path;
    cr_assert_eq(store_open(&store, &config, &err), ERR_NONE, "%s", err.text);
    return store;
}

static void write_batch(store_t *store, buffer_t *batch)
{
    batch_part_t part = {batch->bytes, batch->size};

    cr_assert_not(batch->failed);
    cr_assert_eq(store_write(store, &part, 1, true, NULL), ERR_NONE);
    buffer_free(batch);
}

static void write_row(store_t *store, family_t family, const uint8_t *key, size_t key_bytes,
                      const buffer_t *value)
{
    buffer_t batch;

    buffer_init(&batch, 1 << 20);
    if (value == NULL)
        batch_delete(&batch, family, key, key_bytes);
    else
        batch_put(&batch, family, key, key_bytes, value->bytes, value->size);
    write_batch(store, &batch);
}

static void check_finds(const char *words)
{
    char sentence[400];
    uint64_t wrong = faults(sentence);

    cr_assert_gt(wrong, 0, "nothing was found; expected: %s", words);
    cr_assert_not_null(strstr(sentence, words), "%s", sentence);
}

static void change_account(void (*change)(account_t *account))
{
    static account_t account;
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    buffer_t scratch;
    bool found = false;

    buffer_init(&scratch, 1 << 20);
    cr_assert_eq(
        rows_account(store, NULL, alice_partition, &alice_id, 1, &account, &scratch, &found, NULL),
        ERR_NONE);
    cr_assert(found);
    change(&account);
    buffer_reset(&scratch);
    account_encode(&account, &scratch);
    write_row(store, FAMILY_STATE, key, key_account(key, alice_partition, &alice_id, 1), &scratch);
    buffer_free(&scratch);
    store_destroy(&store);
}

static void change_entry(void (*change)(entry_t *entry))
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    buffer_t scratch, row;
    entry_t entry;
    bool found = false;

    buffer_init(&scratch, 1 << 20);
    buffer_init(&row, 1 << 20);
    cr_assert_eq(rows_entry(store, NULL, alice_partition, purchase, &entry, &scratch, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    change(&entry);
    entry_encode(&entry, &row);
    write_row(store, FAMILY_ENTRY, key, key_entry(key, alice_partition, id_sequence(purchase)),
              &row);
    buffer_free(&scratch);
    buffer_free(&row);
    store_destroy(&store);
}

Test(verify, says_that_untouched_books_hold)
{
    char sentence[400];

    cr_assert_eq(faults(sentence), 0, "%s", sentence);
}

static void add_to_balance(account_t *account)
{
    account->available++;
    account->lots[0].active++;
    account->lots[0].original++;
}

Test(verify, finds_a_balance_that_is_not_the_sum_of_its_entries)
{
    change_account(add_to_balance);
    check_finds("its entries add up to");
}

static void take_from_a_lot(account_t *account)
{
    account->lots[0].active--;
}

Test(verify, finds_a_lot_that_lost_a_point)
{
    change_account(take_from_a_lot);
    check_finds("its lots hold");
}

static void raise_lifetime(account_t *account)
{
    account->earned++;
}

Test(verify, finds_a_lifetime_total_that_no_entries_give)
{
    change_account(raise_lifetime);
    check_finds("entries give");
}

static void pretend_transit(account_t *account)
{
    account->in_transit = 5;
}

Test(verify, finds_points_in_transit_that_no_transfer_carries)
{
    change_account(pretend_transit);
    check_finds("in transit");
}

static void change_date(entry_t *entry)
{
    entry->effective_us--;
}

Test(verify, finds_a_past_posting_whose_date_was_changed)
{
    change_entry(change_date);
    check_finds("hash chain");
}

static void change_delta(entry_t *entry)
{
    entry->delta += 7;
}

Test(verify, finds_an_entry_that_shows_other_points_than_it_posted)
{
    change_entry(change_delta);
    check_finds("entries give");
}

static void change_nothing_that_counts(entry_t *entry)
{
    entry->description = text_of("erased");
    entry->version++;
}

Test(verify, accepts_a_description_that_was_edited)
{
    char sentence[400];

    change_entry(change_nothing_that_counts);
    cr_assert_eq(faults(sentence), 0, "%s", sentence);
}

Test(verify, finds_a_missing_entry)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();

    write_row(store, FAMILY_ENTRY, key, key_entry(key, alice_partition, id_sequence(purchase)),
              NULL);
    store_destroy(&store);
    check_finds("is missing");
}

Test(verify, finds_an_entry_that_no_account_knows)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    buffer_t row;
    entry_t orphan = {.id = id_make(id_slot(alice), 5000),
                      .account = alice,
                      .customer = alice_id,
                      .program = 1,
                      .type = ENTRY_EARN,
                      .hidden = true,
                      .recorded_us = INT64_MAX / 2,
                      .effective_us = 1};

    buffer_init(&row, 1 << 16);
    entry_encode(&orphan, &row);
    write_row(store, FAMILY_ENTRY, key, key_entry(key, alice_partition, 5000), &row);
    buffer_free(&row);
    store_destroy(&store);
    check_finds("do not lead to it");
}

Test(verify, finds_an_account_whose_id_leads_nowhere)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();

    write_row(store, FAMILY_STATE, key, key_account_id(key, alice_partition, alice), NULL);
    store_destroy(&store);
    check_finds("cannot be found by its id");
}

Test(verify, finds_a_lot_row_that_no_account_counts)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    lot_t lot = {.id = purchase, .original = 5, .active = 5};
    buffer_t row;

    buffer_init(&row, 1 << 16);
    lot_encode(&lot, &row);
    write_row(store, FAMILY_LOT, key, key_lot(key, alice_partition, alice, &lot), &row);
    buffer_free(&row);
    store_destroy(&store);
    check_finds("lots in rows of their own");
}

Test(verify, finds_a_wrong_checkpoint)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    buffer_t row;
    checkpoint_t checkpoint;
    bool found = false;
    size_t key_bytes = key_checkpoint(key, alice_partition);

    buffer_init(&row, 1 << 16);
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, key, key_bytes, &row, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(checkpoint_decode(&checkpoint, row.bytes, row.size, NULL), ERR_NONE);
    checkpoint.accounts++;
    buffer_reset(&row);
    checkpoint_encode(&checkpoint, &row);
    write_row(store, FAMILY_STATE, key, key_bytes, &row);
    buffer_free(&row);
    store_destroy(&store);
    check_finds("its checkpoint says");
}

Test(verify, finds_a_counter_that_is_not_the_sum_of_its_day)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    size_t key_bytes = key_tag(key, alice_partition, 'C');
    store_cursor_t *cursor = store_cursor_new(store, NULL, FAMILY_STATE, key, key_bytes, NULL, 0);
    counter_t counter;
    buffer_t row;
    size_t n;

    buffer_init(&row, 1 << 16);
    store_cursor_first(cursor);
    cr_assert(store_cursor_valid(cursor));
    const uint8_t *found = store_cursor_key(cursor, &key_bytes);
    cr_assert_eq(found[2], 'C');
    memcpy(key, found, key_bytes);
    const uint8_t *value = store_cursor_value(cursor, &n);
    cr_assert_eq(counter_decode(&counter, value, n, NULL), ERR_NONE);
    store_cursor_destroy(&cursor);
    counter.sum++;
    counter_encode(&counter, &row);
    write_row(store, FAMILY_STATE, key, key_bytes, &row);
    buffer_free(&row);
    store_destroy(&store);
    check_finds("its counter says");
}

Test(verify, finds_a_stored_answer_that_contradicts_its_entry)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    hash_t hash = {{0, 1}};
    size_t key_bytes = key_idempotency(key, alice_partition, &alice_id, OPERATION_EARN, &hash);
    buffer_t row, answer, again;
    key_row_t known;
    result_t result;
    bool found = false;

    buffer_init(&row, 1 << 16);
    buffer_init(&answer, 1 << 16);
    buffer_init(&again, 1 << 16);
    cr_assert_eq(store_get(store, NULL, FAMILY_KEY, key, key_bytes, &row, &found, NULL), ERR_NONE);
    cr_assert(found);
    cr_assert_eq(key_row_decode(&known, row.bytes, row.size, NULL), ERR_NONE);
    cr_assert_eq(result_decode(&result, known.result.bytes, known.result.n, NULL), ERR_NONE);
    result.balance_after++;
    result_encode(&result, &answer);
    known.result = (text_t){(const char *)answer.bytes, answer.size};
    key_row_encode(&known, &again);
    write_row(store, FAMILY_KEY, key, key_bytes, &again);
    buffer_free(&row);
    buffer_free(&answer);
    buffer_free(&again);
    store_destroy(&store);
    check_finds("its stored answer says");
}

Test(verify, finds_a_receiver_that_forgot_a_message)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store = open_for_tampering();
    uint16_t bob_partition = partition_of_slot(id_slot(bob), 16);
    size_t key_bytes = key_pair_in(key, bob_partition, alice_partition);
    buffer_t row;
    pair_in_t pair;
    bool found = false;

    buffer_init(&row, 1 << 16);
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, key, key_bytes, &row, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(pair_in_decode(&pair, row.bytes, row.size, NULL), ERR_NONE);
    pair.seq += 10;
    buffer_reset(&row);
    pair_in_encode(&pair, &row);
    write_row(store, FAMILY_STATE, key, key_bytes, &row);
    buffer_free(&row);
    store_destroy(&store);
    check_finds("are of different moments");
}

/* A credit that alice's partition sends to bob's: the rows of a message are written as it would write them. */
static void send_credit(const credit_t *credit)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uint16_t bob_partition = partition_of_slot(id_slot(bob), 16);
    store_t *store = open_for_tampering();
    pair_out_t pair = {.next = 1};
    bool found = false;
    buffer_t row;

    buffer_init(&row, 1 << 16);
    size_t key_bytes = key_pair_out(key, alice_partition, bob_partition);
    cr_assert_eq(store_get(store, NULL, FAMILY_STATE, key, key_bytes, &row, &found, NULL),
                 ERR_NONE);
    cr_assert(found);
    cr_assert_eq(pair_out_decode(&pair, row.bytes, row.size, NULL), ERR_NONE);
    uint64_t n = pair.next++;
    buffer_reset(&row);
    pair_out_encode(&pair, &row);
    write_row(store, FAMILY_STATE, key, key_bytes, &row);
    buffer_reset(&row);
    credit_encode(credit, &row);
    write_row(store, FAMILY_OUTBOX, key, key_outbox(key, alice_partition, bob_partition, n), &row);
    buffer_free(&row);
    store_destroy(&store);
}

static uint64_t held_transfer; /* an id that is not used */

static void hold_25(account_t *account)
{
    account->in_transit += 25;
}

static void hold(uint16_t to_partition)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    store_t *store;
    buffer_t row;

    held_transfer = purchase + 1000000;
    transfer_t transfer = {.id = held_transfer,
                           .account = alice,
                           .entry = purchase,
                           .customer = alice_id,
                           .program = 1,
                           .points = 25,
                           .to_partition = to_partition};
    change_account(hold_25);
    store = open_for_tampering();
    buffer_init(&row, 1 << 16);
    transfer_encode(&transfer, &row);
    write_row(store, FAMILY_STATE, key, key_transfer(key, alice_partition, held_transfer), &row);
    buffer_free(&row);
    store_destroy(&store);
}

static bool finds(const char *words)
{
    char shown[VERIFY_SHOWN][400];
    bool found = false;

    memset(shown, 0, sizeof shown);
    (void)all_faults(shown);
    for (size_t i = 0; i < VERIFY_SHOWN; i++)
        found = found || strstr(shown[i], words) != NULL;
    return found;
}

Test(verify, finds_held_points_that_no_message_is_about)
{
    hold(partition_of_slot(id_slot(bob), 16));
    cr_assert(finds("and no message is about it"));
    send_credit(&(credit_t){.transfer = held_transfer, .from_account = alice, .points = 25});
    cr_assert_not(finds("message is about"));
    cr_assert_not(finds("is about transfer"));
}

Test(verify, finds_a_message_with_other_points_than_are_held)
{
    hold(partition_of_slot(id_slot(bob), 16));
    send_credit(&(credit_t){.transfer = held_transfer, .from_account = alice, .points = 26});
    cr_assert(finds("which does not hold these points"));
}

Test(verify, finds_a_message_about_a_transfer_that_is_not_on_its_way)
{
    send_credit(&(credit_t){.transfer = purchase + 1000000, .from_account = alice, .points = 25});
    cr_assert(finds("which does not hold these points"));
}

/* ---- the same books as a node on Kafka keeps them ---- */

static void become_follower(uint16_t partitions)
{
    store_t *store = open_for_tampering();
    buffer_t batch;

    buffer_init(&batch, 1 << 20);
    for (uint16_t p = 0; p <= partitions; p++) {
        position_t position;
        uint64_t ordinal;
        bool found = false;

        cr_assert_eq(journal_embedded_position(store, p, &position, &ordinal, &found, NULL),
                     ERR_NONE);
        cr_assert(found);
        journal_put_position(p, &position, &batch);
    }
    write_batch(store, &batch);
    store_destroy(&store);
}

typedef struct {
    verify_t books;
    together_t together;
    store_t *store;
} follower_t;

static follower_t *prove_follower(errcode_t expected)
{
    follower_t *self = memory_zalloc(sizeof *self);
    store_config_t config;

    store_config_default(&config);
    config.directory = directory.path;
    config.read_only = true;
    cr_assert_eq(store_open(&self->store, &config, NULL), ERR_NONE);
    cr_assert_eq(together_add_follower(&self->together, self->store, NULL), expected);
    if (expected == ERR_NONE)
        prove(&self->books, &self->together);
    return self;
}

static void end_follower(follower_t *self)
{
    verify_free(&self->books);
    store_destroy(&self->store);
    free(self);
}

Test(verify, proves_the_copies_of_a_node_that_follows_a_shared_log)
{
    become_follower(16);
    follower_t *self = prove_follower(ERR_NONE);

    cr_assert_eq(self->together.partitions, 16);
    cr_assert(together_complete(&self->together));
    cr_assert_eq(self->books.wrong, 0, "%s", self->books.shown[0]);
    cr_assert_eq(self->books.apart, 0);
    cr_assert_eq(self->books.records, 0);
    cr_assert_eq(self->books.accounts, 2);
    cr_assert_gt(self->together.position[alice_partition].seq, 0);
    end_follower(self);
}

Test(verify, finds_a_fault_in_the_copy_of_a_follower)
{
    change_account(add_to_balance);
    become_follower(16);
    follower_t *self = prove_follower(ERR_NONE);

    cr_assert_gt(self->books.wrong, 0);
    end_follower(self);
}

Test(verify, does_not_compare_copies_of_different_moments)
{
    uint8_t key[BATCH_KEY_BYTES_MAX];
    uint16_t bob_partition = partition_of_slot(id_slot(bob), 16);
    store_t *store = open_for_tampering();
    const pair_in_t ahead = {.seq = 1000};
    buffer_t row;

    buffer_init(&row, 1 << 16);
    pair_in_encode(&ahead, &row);
    write_row(store, FAMILY_STATE, key, key_pair_in(key, bob_partition, alice_partition), &row);
    buffer_free(&row);
    store_destroy(&store);
    hold(bob_partition);
    become_follower(16);
    follower_t *self = prove_follower(ERR_NONE);

    cr_assert_eq(self->books.apart, 1);
    for (size_t i = 0; i < VERIFY_SHOWN; i++) {
        cr_assert_null(strstr(self->books.shown[i], "different moments"));
        cr_assert_null(strstr(self->books.shown[i], "no message is about it"));
    }
    end_follower(self);
}

Test(verify, needs_the_definitions_to_know_how_many_partitions_there_are)
{
    become_follower(15); /* the one with the definitions was not read */
    end_follower(prove_follower(ERR_STATE));
}

Test(verify, gives_equal_digests_for_equal_books_and_others_for_others)
{
    become_follower(16);
    follower_t *before = prove_follower(ERR_NONE);
    verify_digest_t own = before->books.digests[alice_partition];

    end_follower(before);
    change_account(take_from_a_lot);
    follower_t *after = prove_follower(ERR_NONE);
    verify_digest_t other = after->books.digests[alice_partition];
    end_follower(after);
    cr_assert_eq(own.accounts, other.accounts);
    cr_assert_eq(own.points, other.points);
    cr_assert_not(hash_equal(&own.sum, &other.sum));
}
