/* test_ids.c - ids, slots, hashes and checksums; the pinned values are on disk and may never change */
#include "protocol/ids.h"

#include <criterion/criterion.h>
#include <string.h>

static uuid16_t uuid_of(const char *text)
{
    uuid16_t uuid;

    cr_assert(uuid_parse(&uuid, text, strlen(text)), "%s", text);
    return uuid;
}

Test(ids, a_uuid_is_read_in_all_its_forms_and_written_in_one, .timeout = 10)
{
    static const char *const forms[] = {"6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                                        "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
                                        "6ba7b8109dad11d180b400c04fd430c8",
                                        "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
                                        "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                                        "URN:UUID:6ba7b810-9dad-11d1-80b4-00c04fd430c8"};
    char text[UUID_TEXT_BYTES + 1];

    for (size_t i = 0; i < COUNT_OF(forms); i++) {
        uuid16_t uuid = uuid_of(forms[i]);

        uuid_format(&uuid, text);
        cr_assert_str_eq(text, forms[0]);
    }
}

Test(ids, text_that_is_no_uuid_is_refused, .timeout = 10)
{
    static const char *const bad[] = {"",
                                      "6ba7b810-9dad-11d1-80b4-00c04fd430c",
                                      "6ba7b810-9dad-11d1-80b4-00c04fd430c89",
                                      "6ba7b810-9dad-11d1-80b4-00c04fd430cg",
                                      "6ba7b810+9dad-11d1-80b4-00c04fd430c8",
                                      "6ba7b8109-dad-11d1-80b4-00c04fd430c8",
                                      "{6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                                      "6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
                                      "{urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
                                      "urn:uuid:{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
                                      " 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
                                      "{}",
                                      "urn:uuid:",
                                      "------------------------------------"};
    uuid16_t uuid;

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        cr_assert_not(uuid_parse(&uuid, bad[i], strlen(bad[i])), "%s", bad[i]);
}

Test(ids, uuids_compare_by_all_bytes, .timeout = 10)
{
    uuid16_t a = uuid_of("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    uuid16_t b = uuid_of("6ba7b810-9dad-11d1-80b4-00c04fd430c9");
    uuid16_t zero = uuid_of("00000000-0000-0000-0000-000000000000");

    cr_assert(uuid_equal(&a, &a));
    cr_assert_not(uuid_equal(&a, &b));
    cr_assert(uuid_is_zero(&zero));
    cr_assert_not(uuid_is_zero(&a));
}

Test(ids, hash_bytes_is_blake2b_of_128_bits, .timeout = 10)
{
    static const hash_t empty = {{0xca, 0xe6, 0x69, 0x41, 0xd9, 0xef, 0xbd, 0x40, 0x4e, 0x4d, 0x88,
                                  0x75, 0x8e, 0xa6, 0x76, 0x70}};
    static const hash_t word = {{0x1b, 0x91, 0xbf, 0xb4, 0x0e, 0x95, 0x5a, 0xd1, 0xd3, 0xcc, 0x1d,
                                 0xe2, 0x8a, 0xcd, 0xeb, 0xe2}};
    hash_t found = hash_bytes("", 0);

    cr_assert(hash_equal(&found, &empty));
    found = hash_bytes("loyalty", 7);
    cr_assert(hash_equal(&found, &word));
    cr_assert_not(hash_equal(&found, &empty));
}

/* Computed with an independent SipHash-2-4 under the key seed (little endian) + "fealty01". */
Test(ids, hash64_is_siphash_under_a_key_of_the_format, .timeout = 10)
{
    char many[100];

    memset(many, 'a', sizeof many);
    cr_assert_eq(hash64(0, "", 0), UINT64_C(0x529f6074efa56ca9));
    cr_assert_eq(hash64(1, "loyalty", 7), UINT64_C(0x1459d9ed2fcf2d9f));
    cr_assert_eq(hash64(UINT64_C(0x0123456789abcdef), many, sizeof many),
                 UINT64_C(0x60361ef88fa4b4f4));
}

/* Check values of RFC 3720, appendix B.4, and the usual one for "123456789". */
Test(ids, crc32c_has_the_values_of_the_standard, .timeout = 10)
{
    uint8_t block[32];

    cr_assert_eq(crc32c(0, "", 0), 0);
    cr_assert_eq(crc32c(0, "123456789", 9), UINT32_C(0xe3069283));
    memset(block, 0, sizeof block);
    cr_assert_eq(crc32c(0, block, sizeof block), UINT32_C(0x8a9136aa));
    memset(block, 0xff, sizeof block);
    cr_assert_eq(crc32c(0, block, sizeof block), UINT32_C(0x62a8ab43));
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)i;
    cr_assert_eq(crc32c(0, block, sizeof block), UINT32_C(0x46dd794e));
}

Test(ids, crc32c_by_tables_equals_the_processors_at_every_length_and_start, .timeout = 10)
{
    uint8_t bytes[96];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t from = 0; from < 9; from++)
        for (size_t n = 0; n + from <= sizeof bytes; n++)
            cr_assert_eq(crc32c_portable(7, bytes + from, n), crc32c(7, bytes + from, n));
    cr_assert_eq(crc32c_portable(0, "123456789", 9), UINT32_C(0xe3069283));
}

Test(ids, crc32c_of_parts_continues, .timeout = 10)
{
    cr_assert_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), UINT32_C(0xe3069283));
}

Test(ids, the_slot_of_a_customer_is_fixed_for_ever, .timeout = 10)
{
    static const struct {
        const char *uuid;
        uint16_t slot;
    } pinned[] = {{"00000000-0000-0000-0000-000000000000", 421},
                  {"6ba7b810-9dad-11d1-80b4-00c04fd430c8", 5586},
                  {"ffffffff-ffff-ffff-ffff-ffffffffffff", 50711},
                  {"0f8fad5b-d9cb-469f-a165-70867728950e", 11179}};

    for (size_t i = 0; i < COUNT_OF(pinned); i++) {
        uuid16_t uuid = uuid_of(pinned[i].uuid);

        cr_assert_eq(slot_of_customer(&uuid), pinned[i].slot);
    }
}

Test(ids, partitions_are_contiguous_ranges_of_slots, .timeout = 10)
{
    static const uint16_t counts[] = {1, 2, 3, 7, 16, 256, 1000, 65535};

    for (size_t c = 0; c < COUNT_OF(counts); c++) {
        uint16_t partitions = counts[c];
        uint16_t last = 0;

        cr_assert_eq(slot_first(0, partitions), 0);
        cr_assert_eq(slot_first(partitions, partitions), SLOT_COUNT);
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++) {
            uint16_t partition = partition_of_slot((uint16_t)slot, partitions);

            cr_assert(partition == last || partition == last + 1);
            cr_assert(partition < partitions);
            if (slot > 0 && partition != last)
                cr_assert_eq(slot_first(partition, partitions), slot);
            last = partition;
        }
        cr_assert_eq(last, partitions - 1);
    }
}

Test(ids, an_id_carries_its_slot_and_stays_below_two_to_the_53, .timeout = 10)
{
    uint64_t id = id_make(65535, ID_SEQUENCE_MAX);

    cr_assert_eq(id, ID_MAX);
    cr_assert_eq(id_slot(id), 65535);
    cr_assert_eq(id_sequence(id), ID_SEQUENCE_MAX);
    id = id_make(421, 12);
    cr_assert_eq(id_slot(id), 421);
    cr_assert_eq(id_sequence(id), 12);
}
