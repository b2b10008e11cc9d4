/* fuzz_rows.c - any bytes are safe to decode as a row, and what decodes survives a round trip
 *
 * The first byte chooses the row.
 */
#include "actors/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static buffer_t first, second;

static void same(void)
{
    INVARIANT(!first.failed);
    INVARIANT(first.size == second.size);
    INVARIANT(memcmp(first.bytes, second.bytes, first.size) == 0);
}

static void check_account(const uint8_t *bytes, size_t n)
{
    static account_t account, back;

    if (account_decode(&account, bytes, n, NULL) != ERR_NONE)
        return;
    account_encode(&account, &first);
    INVARIANT(account_decode(&back, first.bytes, first.size, NULL) == ERR_NONE);
    account_encode(&back, &second);
    same();
}

static void check_entry(const uint8_t *bytes, size_t n)
{
    static allocation_t allocations[ENTRY_ALLOCATIONS_MAX];
    entry_t entry, back;
    uint8_t chain[32] = {0};
    int count;

    if (entry_decode(&entry, bytes, n, NULL) != ERR_NONE)
        return;
    entry_encode(&entry, &first);
    INVARIANT(entry_decode(&back, first.bytes, first.size, NULL) == ERR_NONE);
    entry_encode(&back, &second);
    same();
    posting_chain(chain, &entry);
    count = entry_allocations(&entry, allocations, ENTRY_ALLOCATIONS_MAX);
    INVARIANT(count == -1 || count == (int)entry.allocation_count);
}

static void check_key_row(const uint8_t *bytes, size_t n)
{
    key_row_t row, back;

    if (key_row_decode(&row, bytes, n, NULL) != ERR_NONE)
        return;
    key_row_encode(&row, &first);
    INVARIANT(key_row_decode(&back, first.bytes, first.size, NULL) == ERR_NONE);
    key_row_encode(&back, &second);
    same();
}

static void check_small(const uint8_t *bytes, size_t n)
{
    counter_t counter, counter_back;
    checkpoint_t checkpoint, checkpoint_back;
    lot_t lot, lot_back;
    uuid16_t customer;
    uint32_t program;

    if (counter_decode(&counter, bytes, n, NULL) == ERR_NONE) {
        counter_encode(&counter, &first);
        INVARIANT(counter_decode(&counter_back, first.bytes, first.size, NULL) == ERR_NONE);
        counter_encode(&counter_back, &second);
        same();
    }
    buffer_reset(&first);
    buffer_reset(&second);
    if (checkpoint_decode(&checkpoint, bytes, n, NULL) == ERR_NONE) {
        checkpoint_encode(&checkpoint, &first);
        INVARIANT(checkpoint_decode(&checkpoint_back, first.bytes, first.size, NULL) == ERR_NONE);
        checkpoint_encode(&checkpoint_back, &second);
        same();
    }
    buffer_reset(&first);
    buffer_reset(&second);
    if (lot_decode(&lot, bytes, n, NULL) == ERR_NONE) {
        lot_encode(&lot, &first);
        INVARIANT(lot_decode(&lot_back, first.bytes, first.size, NULL) == ERR_NONE);
        lot_encode(&lot_back, &second);
        same();
    }
    (void)account_place_decode(&customer, &program, bytes, n, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n == 0)
        return 0;
    if (first.max == 0) {
        buffer_init(&first, 1 << 21);
        buffer_init(&second, 1 << 21);
    }
    buffer_reset(&first);
    buffer_reset(&second);
    switch (bytes[0] % 4) {
    case 0: check_account(bytes + 1, n - 1); break;
    case 1: check_entry(bytes + 1, n - 1); break;
    case 2: check_key_row(bytes + 1, n - 1); break;
    default: check_small(bytes + 1, n - 1);
    }
    return 0;
}
