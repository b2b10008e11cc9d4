/* ids.c - customer ids, hashes, checksums, and the slot of a customer
 *
 * Everything here is format: what these functions return is on disk and on the wire, so none of it
 * may ever change. The unit tests pin values.
 */
#include "protocol/ids.h"

#include <ctype.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

#define UUID_HEX_BYTES 32
#define SLOT_SEED      UINT64_C(0x666561)
/* The half of the SipHash key that is not the seed. */
static const uint8_t hash64_key_tail[8] = {'f', 'e', 'a', 'l', 't', 'y', '0', '1'};

#define CRC32C_POLYNOMIAL UINT32_C(0x82f63b78) /* Castagnoli, reflected */

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static uint32_t crc_table[8][256];
static bool crc_in_hardware;

static void prepare(void);
static void prepare_once(void);
static uint32_t crc_by_table(uint32_t crc, const uint8_t *bytes, size_t n);
static bool strip(const char **text, size_t *bytes, const char *prefix);

bool uuid_parse(uuid16_t *out, const char *text, size_t bytes)
{
    uuid16_t parsed;
    bool urn = strip(&text, &bytes, "urn:uuid:");
    bool hyphens;
    size_t at = 0;

    if (!urn && bytes >= 2 && text[0] == '{' && text[bytes - 1] == '}') {
        text++;
        bytes -= 2;
    }
    hyphens = bytes == UUID_TEXT_BYTES;
    if (!hyphens && bytes != UUID_HEX_BYTES)
        return false;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        unsigned value = 0;

        if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-')
            return false;
        for (int half = 0; half < 2; half++) {
            char c = text[at++];

            if (c >= '0' && c <= '9')
                value = value << 4 | (unsigned)(c - '0');
            else if (c >= 'a' && c <= 'f')
                value = value << 4 | (unsigned)(c - 'a' + 10);
            else if (c >= 'A' && c <= 'F')
                value = value << 4 | (unsigned)(c - 'A' + 10);
            else
                return false;
        }
        parsed.bytes[i] = (uint8_t)value;
    }
    *out = parsed;
    return true;
}

void uuid_format(const uuid16_t *self, char out[UUID_TEXT_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;

    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = digits[self->bytes[i] >> 4];
        out[at++] = digits[self->bytes[i] & 15];
    }
    out[at] = '\0';
}

bool uuid_equal(const uuid16_t *a, const uuid16_t *b)
{
    return memcmp(a->bytes, b->bytes, UUID_BYTES) == 0;
}

bool uuid_is_zero(const uuid16_t *self)
{
    static const uuid16_t zero;

    return uuid_equal(self, &zero);
}

hash_t hash_bytes(const void *bytes, size_t n)
{
    hash_t hash;

    prepare();
    INVARIANT(crypto_generichash(hash.bytes, sizeof hash.bytes, bytes, n, NULL, 0) == 0);
    return hash;
}

bool hash_equal(const hash_t *a, const hash_t *b)
{
    return memcmp(a->bytes, b->bytes, HASH_BYTES) == 0;
}

uint64_t hash64(uint64_t seed, const void *bytes, size_t n)
{
    uint8_t key[crypto_shorthash_KEYBYTES];
    uint8_t digest[crypto_shorthash_BYTES];
    uint64_t value = 0;

    for (size_t i = 0; i < 8; i++)
        key[i] = (uint8_t)(seed >> (8 * i));
    memcpy(key + 8, hash64_key_tail, sizeof hash64_key_tail);
    INVARIANT(crypto_shorthash(digest, bytes, n, key) == 0);
    for (size_t i = 0; i < sizeof digest; i++)
        value |= (uint64_t)digest[i] << (8 * i);
    return value;
}

#ifdef __x86_64__
TARGET_ISA("sse4.2") static uint32_t crc_by_hardware(uint32_t crc, const uint8_t *bytes, size_t n)
{
    uint64_t wide = crc;

    for (; n >= 8; n -= 8, bytes += 8) {
        uint64_t word;

        memcpy(&word, bytes, sizeof word);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; n > 0; n--, bytes++)
        crc = _mm_crc32_u8(crc, *bytes);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t n)
{
    prepare();
#ifdef __x86_64__
    if (LIKELY(crc_in_hardware))
        return ~crc_by_hardware(~crc, bytes, n);
#endif
    return crc32c_portable(crc, bytes, n);
}

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t n)
{
    prepare();
    return ~crc_by_table(~crc, bytes, n);
}

uint16_t slot_of_customer(const uuid16_t *customer)
{
    return (uint16_t)(hash64(SLOT_SEED, customer->bytes, UUID_BYTES) & (SLOT_COUNT - 1));
}

uint16_t partition_of_slot(uint16_t slot, uint16_t partitions)
{
    INVARIANT(partitions > 0);
    return (uint16_t)((uint32_t)slot * partitions / SLOT_COUNT);
}

uint32_t slot_first(uint16_t partition, uint16_t partitions)
{
    INVARIANT(partitions > 0);
    INVARIANT(partition <= partitions);
    return (uint32_t)(((uint64_t)partition * SLOT_COUNT + partitions - 1) / partitions);
}

static void prepare(void)
{
    INVARIANT(pthread_once(&prepared, prepare_once) == 0);
}

static void prepare_once(void)
{
    /* libsodium chooses its fastest BLAKE2b here; hashes are the same without. */
    INVARIANT(sodium_init() >= 0);
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ CRC32C_POLYNOMIAL : crc >> 1;
        crc_table[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (size_t row = 1; row < COUNT_OF(crc_table); row++)
            crc_table[row][i] =
                crc_table[row - 1][i] >> 8 ^ crc_table[0][crc_table[row - 1][i] & 0xff];
#ifdef __x86_64__
    crc_in_hardware = CPU_HAS("sse4.2");
#endif
}

/* Eight bytes at a time ("slicing by 8"). */
static uint32_t crc_by_table(uint32_t crc, const uint8_t *bytes, size_t n)
{
    for (; n >= 8; n -= 8, bytes += 8) {
        uint32_t low = crc ^ ((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 |
                              (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);

        crc = crc_table[7][low & 0xff] ^ crc_table[6][low >> 8 & 0xff] ^
              crc_table[5][low >> 16 & 0xff] ^ crc_table[4][low >> 24] ^ crc_table[3][bytes[4]] ^
              crc_table[2][bytes[5]] ^ crc_table[1][bytes[6]] ^ crc_table[0][bytes[7]];
    }
    for (; n > 0; n--, bytes++)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *bytes) & 0xff];
    return crc;
}

static bool strip(const char **text, size_t *bytes, const char *prefix)
{
    size_t n = strlen(prefix);

    if (*bytes < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (tolower((unsigned char)(*text)[i]) != prefix[i])
            return false;
    *text += n;
    *bytes -= n;
    return true;
}
