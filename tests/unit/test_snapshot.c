/* test_snapshot.c - chunks of a partition's rows: whole, in order, unspoilt, or the copy stays marked as incomplete */
#include "cluster/snapshot.h"

#include "tests/unit/copies.h"

#define PART       3
#define CHUNKS_MAX 512

/* A transfer, written down. */
typedef struct {
    buffer_t begin, end;
    buffer_t chunks[CHUNKS_MAX];
    uint32_t count;
    hash_t digest;
} sent_t;

/* Where it goes. */
typedef struct {
    store_t *store;
    catalogue_t *catalogue;
    snapshot_loader_t *loader;
    err_t err;
} target_t;

static sent_t *sent_from(store_t *store, uint16_t partition)
{
    sent_t *self = memory_zalloc(sizeof *self);
    snapshot_reader_t *reader;
    uint32_t number;
    const uint8_t *bytes;
    size_t n;
    err_t err = {0};

    cr_assert_eq(snapshot_reader_open(&reader, store, partition, &err), ERR_NONE, "%s", err.text);
    buffer_init(&self->begin, SNAPSHOT_BODY_MAX);
    buffer_init(&self->end, SNAPSHOT_BODY_MAX);
    snapshot_reader_begin(reader, &self->begin);
    for (;;) {
        cr_assert_eq(snapshot_reader_next(reader, &number, &bytes, &n, &err), ERR_NONE);
        if (n == 0)
            break;
        cr_assert_lt(self->count, CHUNKS_MAX);
        cr_assert_eq(number, self->count + 1);
        buffer_init(&self->chunks[self->count], SNAPSHOT_BYTES_MAX);
        buffer_append(&self->chunks[self->count++], bytes, n);
    }
    snapshot_reader_end(reader, &self->end);
    self->digest = snapshot_reader_digest(reader);
    snapshot_reader_destroy(&reader);
    return self;
}

static void sent_free(sent_t *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        buffer_free(&self->chunks[i]);
    buffer_free(&self->begin);
    buffer_free(&self->end);
    free(self);
}

static target_t target_new(void)
{
    return (target_t){.store = store_memory_new(), .catalogue = catalogue_new()};
}

static void target_free(target_t *self)
{
    snapshot_loader_destroy(&self->loader);
    catalogue_destroy(&self->catalogue);
    store_destroy(&self->store);
}

static errcode_t target_open(target_t *self, const sent_t *sent)
{
    const snapshot_target_t target = {
        .store = self->store, .catalogue = self->catalogue, .partition = PART};

    snapshot_loader_destroy(&self->loader);
    return snapshot_loader_open(&self->loader, &target, sent->begin.bytes, sent->begin.size,
                                &self->err);
}

static void target_empty(target_t *self)
{
    bool done = false;

    while (!done)
        cr_assert_eq(snapshot_loader_empty(self->loader, &done, &self->err), ERR_NONE);
}

static errcode_t target_chunk(target_t *self, const sent_t *sent, uint32_t i, uint32_t number)
{
    return snapshot_loader_chunk(self->loader, number, sent->chunks[i].bytes, sent->chunks[i].size,
                                 &self->err);
}

static errcode_t target_end(target_t *self, const sent_t *sent)
{
    return snapshot_loader_end(self->loader, sent->count + 1, sent->end.bytes, sent->end.size,
                               &self->err);
}

static void target_begin(target_t *self, const sent_t *sent)
{
    cr_assert_eq(target_open(self, sent), ERR_NONE, "%s", self->err.text);
    target_empty(self);
}

static void target_load(target_t *self, const sent_t *sent)
{
    target_begin(self, sent);
    for (uint32_t i = 0; i < sent->count; i++)
        cr_assert_eq(target_chunk(self, sent, i, i + 1), ERR_NONE, "%s", self->err.text);
    cr_assert_eq(target_end(self, sent), ERR_NONE, "%s", self->err.text);
}

static store_t *source_new(void)
{
    store_t *store = store_memory_new();

    copies_define(store, 1);
    copies_define(store, 2);
    copies_write(store, PART, 0, 1500, 200, 40);
    copies_write(store, PART - 1, 0, 20, 50, 77);
    copies_write(store, PART + 1, 0, 20, 50, 78);
    return store;
}

Test(snapshot, carries_everything_of_one_partition_and_nothing_else, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);

    cr_assert_gt(sent->count, 4);
    for (uint32_t i = 0; i < sent->count; i++)
        cr_assert_leq(sent->chunks[i].size, SNAPSHOT_CHUNK_BYTES);
    copies_write(target.store, PART, 900, 1200, 30,
                 11); /* an older copy, of which nothing may stay */
    copies_write(target.store, PART + 1, 5, 10, 30, 12);
    store_t *before = store_memory_copy(target.store);
    target_load(&target, sent);
    cr_assert(copies_are_equal(source, target.store, PART));
    cr_assert(!copies_incomplete(target.store, PART));
    copies_define(before, 1);
    copies_define(before, 2);
    cr_assert(copies_are_equal(before, target.store, PART + 1));
    sent_free(sent);
    target_free(&target);
    store_destroy(&before);
    store_destroy(&source);
}

Test(snapshot, brings_the_definitions_into_the_catalogue_first, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);

    target_begin(&target, sent);
    cr_assert_eq(target_chunk(&target, sent, 0, 1), ERR_NONE, "%s", target.err.text);
    cr_assert_eq(catalogue_version(target.catalogue), 2);
    cr_assert(catalogue_program(target.catalogue, 2, 1) != NULL);
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

Test(snapshot, is_the_same_from_two_nodes_at_the_same_position, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);
    sent_t *again, *later;

    target_load(&target, sent);
    again = sent_from(target.store, PART);
    cr_assert(hash_equal(&sent->digest, &again->digest));
    copies_write(source, PART, 17, 1, 200, 41);
    later = sent_from(source, PART);
    cr_assert(!hash_equal(&sent->digest, &later->digest));
    sent_free(sent);
    sent_free(again);
    sent_free(later);
    target_free(&target);
    store_destroy(&source);
}

Test(snapshot, of_a_source_that_goes_on_writing_is_what_it_was_at_the_position, .timeout = 30)
{
    store_t *source = source_new();
    store_t *then = store_memory_copy(source);
    target_t target = target_new();
    snapshot_reader_t *reader;
    uint32_t number;
    const uint8_t *bytes;
    size_t n;
    sent_t *ending = memory_zalloc(sizeof *ending);

    buffer_init(&ending->begin, SNAPSHOT_BODY_MAX);
    buffer_init(&ending->end, SNAPSHOT_BODY_MAX);
    cr_assert_eq(snapshot_reader_open(&reader, source, PART, NULL), ERR_NONE);
    snapshot_reader_begin(reader, &ending->begin);
    target_begin(&target, ending);
    for (uint64_t seq = 41;; seq++) {
        /* Rows that were there, rows that were not, and definitions. */
        copies_write(source, PART, (uint32_t)(seq * 97 % 3000), 40, 200, seq);
        copies_define(source, seq - 41 + 3);
        cr_assert_eq(snapshot_reader_next(reader, &number, &bytes, &n, NULL), ERR_NONE);
        if (n == 0)
            break;
        cr_assert_eq(snapshot_loader_chunk(target.loader, number, bytes, n, &target.err), ERR_NONE,
                     "%s", target.err.text);
        ending->count = number;
        cr_assert_leq(number, CHUNKS_MAX);
    }
    snapshot_reader_end(reader, &ending->end);
    cr_assert_eq(target_end(&target, ending), ERR_NONE, "%s", target.err.text);
    cr_assert(copies_are_equal(then, target.store, PART));
    cr_assert(!copies_are_equal(source, target.store, PART));
    snapshot_reader_destroy(&reader);
    ending->count = 0;
    sent_free(ending);
    target_free(&target);
    store_destroy(&then);
    store_destroy(&source);
}

Test(snapshot, of_an_incomplete_or_missing_copy_is_not_given, .timeout = 30)
{
    store_t *source = source_new();
    snapshot_reader_t *reader;
    err_t err = {0};

    cr_assert_eq(snapshot_reader_open(&reader, source, PART + 2, &err), ERR_NOT_FOUND);
    cr_assert_null(reader);
    cr_assert_eq(image_begin(source, PART, &err), ERR_NONE);
    cr_assert_eq(snapshot_reader_open(&reader, source, PART, &err), ERR_NOT_FOUND);
    cr_assert_null(reader);
    store_destroy(&source);
}

Test(snapshot, that_is_older_or_of_another_log_leaves_the_copy_as_it_is, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);
    position_t other = copies_position(1);
    buffer_t batch;

    copies_write(target.store, PART, 0, 10, 20, 41);
    cr_assert_eq(target_open(&target, sent), ERR_STATE);
    cr_assert_null(target.loader);
    buffer_init(&batch, 4096);
    other.history.bytes[0]++;
    journal_put_position(PART, &other, &batch);
    copies_put_all(target.store, &batch);
    cr_assert_eq(target_open(&target, sent), ERR_STATE);
    cr_assert(!copies_incomplete(target.store, PART));
    buffer_free(&batch);
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

static errcode_t target_open_renewed(target_t *self, const sent_t *sent, const hash_t *history)
{
    const snapshot_target_t target = {.store = self->store,
                                      .catalogue = self->catalogue,
                                      .partition = PART,
                                      .history = *history,
                                      .definitions = true};

    snapshot_loader_destroy(&self->loader);
    return snapshot_loader_open(&self->loader, &target, sent->begin.bytes, sent->begin.size,
                                &self->err);
}

/* Whatever is here, of whatever history, and however far ahead: it was replaced. */
Test(snapshot, of_the_history_that_was_adopted_takes_the_place_of_any_other, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);
    hash_t adopted = copies_position(1).history, wrong = adopted;

    copies_write(target.store, PART, 0, 10, 20, 41);
    wrong.bytes[0]++;
    cr_assert_eq(target_open_renewed(&target, sent, &wrong), ERR_STATE);
    cr_assert(!copies_incomplete(target.store, PART));
    cr_assert_eq(target_open_renewed(&target, sent, &adopted), ERR_NONE, "%s", target.err.text);
    target_empty(&target);
    for (uint32_t k = 0; k < sent->count; k++)
        cr_assert_eq(target_chunk(&target, sent, k, k + 1), ERR_NONE, "%s", target.err.text);
    cr_assert_eq(target_end(&target, sent), ERR_NONE, "%s", target.err.text);
    cr_assert(!copies_incomplete(target.store, PART));
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

/* A version that only this node has seen would be told apart from the new one by nobody. */
Test(snapshot, beside_definitions_that_were_lost_is_refused, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);
    hash_t adopted = copies_position(1).history;
    uint64_t version = catalogue_version(target.catalogue);
    errcode_t rc = ERR_NONE;

    while (version < 1000) {
        version++;
        cr_assert_eq(catalogue_put(target.catalogue, version, RESOURCE_PROGRAM, (uint32_t)version,
                                   true, text_of(""), &target.err),
                     ERR_NONE);
    }
    cr_assert_eq(target_open_renewed(&target, sent, &adopted), ERR_NONE);
    target_empty(&target);
    for (uint32_t k = 0; k < sent->count; k++)
        cr_assert_eq(target_chunk(&target, sent, k, k + 1), ERR_NONE, "%s", target.err.text);
    cr_assert_eq(target_end(&target, sent), ERR_STATE);
    cr_assert_not_null(strstr(target.err.text, "empty directory"));
    cr_assert(copies_incomplete(target.store, PART));
    /* Likewise one that says something else. */
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t other;
    buffer_init(&other, 1024);
    batch_put(&other, FAMILY_META, key, key_content(key, 1), "other", 5);
    copies_put_all(target.store, &other);
    cr_assert_eq(target_open_renewed(&target, sent, &adopted), ERR_NONE);
    target_empty(&target);
    for (uint32_t k = 0; rc == ERR_NONE && k < sent->count; k++)
        rc = target_chunk(&target, sent, k, k + 1);
    cr_assert_eq(rc, ERR_STATE);
    cr_assert_not_null(strstr(target.err.text, "another one here"));
    buffer_free(&other);
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

Test(snapshot, with_a_chunk_missing_doubled_or_out_of_order_is_refused, .timeout = 30)
{
    store_t *source = source_new();
    sent_t *sent = sent_from(source, PART);
    /* index of the chunk that is given after the first two, and its number */
    const uint32_t rows[][2] = {{3, 4}, {1, 2}, {3, 3}, {1, 3}};

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        target_t target = target_new();
        errcode_t rc;

        target_begin(&target, sent);
        cr_assert_eq(target_chunk(&target, sent, 0, 1), ERR_NONE);
        cr_assert_eq(target_chunk(&target, sent, 1, 2), ERR_NONE);
        rc = target_chunk(&target, sent, rows[i][0], rows[i][1]);
        /* With the right number it is the digest that tells, at the latest. */
        for (uint32_t k = 3; rc == ERR_NONE && k < sent->count; k++)
            rc = target_chunk(&target, sent, k, k + 1);
        if (rc == ERR_NONE)
            rc = target_end(&target, sent);
        cr_assert_eq(rc, ERR_CORRUPT, "row %zu", i);
        cr_assert(copies_incomplete(target.store, PART));
        target_free(&target);
    }
    sent_free(sent);
    store_destroy(&source);
}

Test(snapshot, with_another_digest_count_or_end_is_refused, .timeout = 30)
{
    store_t *source = source_new();
    sent_t *sent = sent_from(source, PART);

    for (size_t i = 0; i < sent->end.size; i++) {
        target_t target = target_new();

        target_begin(&target, sent);
        for (uint32_t k = 0; k < sent->count; k++)
            cr_assert_eq(target_chunk(&target, sent, k, k + 1), ERR_NONE);
        sent->end.bytes[i] ^= 1;
        cr_assert_eq(target_end(&target, sent), ERR_CORRUPT, "byte %zu", i);
        sent->end.bytes[i] ^= 1;
        cr_assert(copies_incomplete(target.store, PART));
        target_free(&target);
    }
    sent_free(sent);
    store_destroy(&source);
}

Test(snapshot, with_another_position_than_the_digest_covers_is_refused, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);

    sent->begin.bytes[sent->begin.size - 1] ^= 1;
    target_begin(&target, sent);
    for (uint32_t k = 0; k < sent->count; k++)
        cr_assert_eq(target_chunk(&target, sent, k, k + 1), ERR_NONE);
    cr_assert_eq(target_end(&target, sent), ERR_CORRUPT);
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

Test(snapshot, that_broke_off_begins_anew_and_nothing_of_before_stays, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    sent_t *sent = sent_from(source, PART);
    sent_t *later;

    target_begin(&target, sent);
    for (uint32_t k = 0; k < sent->count / 2; k++)
        cr_assert_eq(target_chunk(&target, sent, k, k + 1), ERR_NONE);
    /* The process dies; all it wrote may be there, or nothing behind the marker. */
    cr_assert(copies_incomplete(target.store, PART));
    store_memory_crash(target.store);
    cr_assert(copies_incomplete(target.store, PART));
    target_begin(&target, sent);
    for (uint32_t k = 0; k < sent->count / 2; k++)
        cr_assert_eq(target_chunk(&target, sent, k, k + 1), ERR_NONE);
    copies_write(source, PART, 700, 30, 10, 55);
    later = sent_from(source, PART);
    target_load(&target, later);
    cr_assert(copies_are_equal(source, target.store, PART));
    /* What is complete is on stable storage. */
    store_memory_crash(target.store);
    cr_assert(copies_are_equal(source, target.store, PART));
    sent_free(sent);
    sent_free(later);
    target_free(&target);
    store_destroy(&source);
}

Test(snapshot, rows_that_are_not_the_partitions_are_not_taken, .timeout = 30)
{
    static const struct {
        bool is_delete;
        family_t family;
        const char *key;
        size_t n;
    } rows[] = {
        {false, FAMILY_STATE, "\0\4A", 3},      /* another partition */
        {false, FAMILY_STATE, "\0", 1},         /* none */
        {true, FAMILY_STATE, "\0\3A", 3},       /* no row to put */
        {false, FAMILY_META, "F\0\3", 3},       /* its position */
        {false, FAMILY_META, "L\0\3", 3},       /* its marker */
        {false, FAMILY_META, "birth", 5},       /* who the node is */
        {false, FAMILY_LOG, "\0\3\0\0\0\1", 6}, /* a log that it does not have */
    };
    store_t *source = source_new();
    sent_t *sent = sent_from(source, PART);

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        target_t target = target_new();
        buffer_t chunk;

        buffer_init(&chunk, 4096);
        batch_put(&chunk, FAMILY_STATE, "\0\3B", 3, "good", 4);
        if (rows[i].is_delete)
            batch_delete(&chunk, rows[i].family, rows[i].key, rows[i].n);
        else
            batch_put(&chunk, rows[i].family, rows[i].key, rows[i].n, "bad", 3);
        target_begin(&target, sent);
        store_t *before = store_memory_copy(target.store);
        cr_assert_eq(snapshot_loader_chunk(target.loader, 1, chunk.bytes, chunk.size, &target.err),
                     ERR_CORRUPT, "row %zu", i);
        cr_assert_eq(snapshot_loader_chunk(target.loader, 1, chunk.bytes, 3, NULL), ERR_CORRUPT);
        cr_assert_eq(snapshot_loader_chunk(target.loader, 1, "", 0, NULL), ERR_CORRUPT);
        for (uint16_t p = 0; p < 5; p++)
            cr_assert(copies_are_equal(before, target.store, p));
        store_destroy(&before);
        buffer_free(&chunk);
        target_free(&target);
    }
    sent_free(sent);
    store_destroy(&source);
}

Test(snapshot, a_row_larger_than_a_chunk_travels_alone, .timeout = 30)
{
    store_t *source = store_memory_new();
    target_t target = target_new();
    sent_t *sent;

    copies_write(source, PART, 0, 2, SNAPSHOT_CHUNK_BYTES + 5000, 4);
    sent = sent_from(source, PART);
    cr_assert_eq(sent->count, 10);
    target_load(&target, sent);
    cr_assert(copies_are_equal(source, target.store, PART));
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

Test(snapshot, of_a_partition_without_rows_is_a_position, .timeout = 30)
{
    store_t *source = store_memory_new();
    target_t target = target_new();
    sent_t *sent;

    copies_write(source, PART, 0, 0, 0, 4);
    sent = sent_from(source, PART);
    cr_assert_eq(sent->count, 0);
    target_load(&target, sent);
    cr_assert(copies_are_equal(source, target.store, PART));
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

typedef struct {
    unsigned begun, ended;
} logins_t;

static void count_login(void *state, const hash_t *token, const void *value, size_t n)
{
    logins_t *logins = state;

    cr_assert_eq(token->bytes[0], 9);
    cr_assert_eq(n > 0, value != NULL);
    logins->begun += value != NULL;
    logins->ended += value == NULL;
}

static void put_login(store_t *store, uint8_t last)
{
    const hash_t token = {{9, last}};
    uint8_t key[BATCH_KEY_BYTES_MAX];
    buffer_t batch;

    buffer_init(&batch, 4096);
    batch_put(&batch, FAMILY_STATE, key, key_session(key, PART, &token), "who", 3);
    copies_put_all(store, &batch);
    buffer_free(&batch);
}

Test(snapshot, tells_who_is_logged_in_and_who_is_not_any_more, .timeout = 30)
{
    store_t *source = source_new();
    target_t target = target_new();
    logins_t logins = {0};
    sent_t *sent;
    const snapshot_target_t with = {.store = target.store,
                                    .catalogue = target.catalogue,
                                    .partition = PART,
                                    .session = count_login,
                                    .state = &logins};

    for (uint8_t i = 0; i < 5; i++)
        put_login(source, i);
    copies_write(target.store, PART, 0, 1, 20, 4);
    for (uint8_t i = 3; i < 6; i++)
        put_login(target.store, i);
    sent = sent_from(source, PART);
    cr_assert_eq(snapshot_loader_open(&target.loader, &with, sent->begin.bytes, sent->begin.size,
                                      &target.err),
                 ERR_NONE);
    target_empty(&target);
    for (uint32_t k = 0; k < sent->count; k++)
        cr_assert_eq(target_chunk(&target, sent, k, k + 1), ERR_NONE);
    /* Nobody who stays logged in is told to be out meanwhile: a node would believe that for a while. */
    cr_assert(logins.begun == 0 && logins.ended == 0);
    cr_assert_eq(target_end(&target, sent), ERR_NONE);
    cr_assert_eq(logins.begun, 5);
    cr_assert_eq(logins.ended, 1);
    snapshot_loader_destroy(&target.loader);
    cr_assert_eq(logins.ended, 1);
    /* After one that broke off nobody can tell. */
    cr_assert_eq(snapshot_loader_open(&target.loader, &with, sent->begin.bytes, sent->begin.size,
                                      &target.err),
                 ERR_NONE);
    target_empty(&target);
    snapshot_loader_destroy(&target.loader);
    cr_assert_eq(logins.ended, 6);
    sent_free(sent);
    target_free(&target);
    store_destroy(&source);
}

Test(snapshot, a_frame_with_any_bit_changed_is_refused, .timeout = 30)
{
    static const char body[] = "rows of a partition";
    snapshot_head_t head = {.kind = SNAPSHOT_CHUNK,
                            .partition = PART,
                            .transfer = UINT64_C(0x0102030405060708),
                            .number = 900};
    snapshot_head_t back;
    uint8_t bytes[SNAPSHOT_HEAD_BYTES], spoilt[sizeof body];

    snapshot_head_encode(&head, body, sizeof body, bytes);
    cr_assert_eq(snapshot_head_decode(&back, bytes, sizeof bytes, body, sizeof body, NULL),
                 ERR_NONE);
    cr_assert(back.kind == head.kind && back.partition == head.partition &&
              back.transfer == head.transfer && back.number == head.number);
    for (size_t i = 0; i < 8 * sizeof bytes; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        cr_assert_eq(snapshot_head_decode(&back, bytes, sizeof bytes, body, sizeof body, NULL),
                     ERR_CORRUPT, "bit %zu of the head", i);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t i = 0; i < 8 * sizeof body; i++) {
        memcpy(spoilt, body, sizeof body);
        spoilt[i / 8] ^= (uint8_t)(1u << i % 8);
        cr_assert_eq(snapshot_head_decode(&back, bytes, sizeof bytes, spoilt, sizeof body, NULL),
                     ERR_CORRUPT, "bit %zu of the body", i);
    }
    cr_assert_eq(snapshot_head_decode(&back, bytes, sizeof bytes, body, 3, NULL), ERR_CORRUPT);
    cr_assert_eq(snapshot_head_decode(&back, bytes, 7, body, sizeof body, NULL), ERR_CORRUPT);
    cr_assert_eq(snapshot_head_decode(&back, "", 0, "", 0, NULL), ERR_CORRUPT);
}
