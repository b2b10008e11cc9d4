/* customers.c - index to UUID */
#include "bench/customers.h"

#include "bench/random.h"

void customer_uuid(uint64_t index, char out[CUSTOMER_TEXT_BYTES])
{
    uint64_t high = random_mix(2 * index + 1);
    uint64_t low = random_mix((2 * index + 2) ^ RANDOM_STEP);

    high = (high & ~UINT64_C(0xF000)) | UINT64_C(0x4000);     /* version 4 */
    low = (low & ~(UINT64_C(3) << 62)) | (UINT64_C(2) << 62); /* variant 10 */
    hex_write(high >> 32, 8, out);
    out[8] = '-';
    hex_write(high >> 16, 4, out + 9);
    out[13] = '-';
    hex_write(high, 4, out + 14);
    out[18] = '-';
    hex_write(low >> 48, 4, out + 19);
    out[23] = '-';
    hex_write(low, 12, out + 24);
}

void hex_write(uint64_t value, unsigned digits, char *out)
{
    static const char alphabet[16] = {'0', '1', '2', '3', '4', '5', '6', '7',
                                      '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};

    for (unsigned i = digits; i > 0; i--) {
        out[i - 1] = alphabet[value & 15];
        value >>= 4;
    }
}
