/* test_addresses.c - lists of cluster addresses */
#include "cluster/addresses.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(addresses, are_the_same_list_in_any_order)
{
    addresses_t a, b;
    hash_t one, other;

    cr_assert_eq(addresses_parse(&a, "h2:7001", "h1:7001,h2:7001,h3:7001", NULL), ERR_NONE);
    cr_assert_eq(addresses_parse(&b, "h3:7001", " h3:7001, h1:7001 ,h2:7001,", NULL), ERR_NONE);
    cr_assert_eq(a.count, 3);
    cr_assert_eq(a.own, 1);
    cr_assert_eq(b.own, 2);
    cr_assert_str_eq(b.text[0], "h1:7001");
    one = addresses_digest(&a);
    other = addresses_digest(&b);
    cr_assert(hash_equal(&one, &other));
    cr_assert_eq(addresses_parse(&b, "h3:7001", "h3:7001,h1:7001", NULL), ERR_NONE);
    other = addresses_digest(&b);
    cr_assert(!hash_equal(&one, &other));
}

Test(addresses, must_hold_the_own_one_once)
{
    addresses_t list;
    err_t err;

    cr_assert_eq(addresses_parse(&list, "h4:7001", "h1:7001,h2:7001", &err), ERR_INVALID);
    cr_assert(strstr(err.text, "h4:7001") != NULL);
    cr_assert_eq(addresses_parse(&list, "h1:7001", "h1:7001,h2:7001,h1:7001", &err), ERR_INVALID);
    cr_assert(strstr(err.text, "twice") != NULL);
    cr_assert_eq(addresses_parse(&list, "h1:7001", " , ", &err), ERR_INVALID);
}

Test(addresses, are_host_and_port_and_nothing_else)
{
    static const char *const good[] = {"a:1", "node-1.example.org:65535", "127.0.0.1:7001",
                                       "[::1]:7001", "[fe80::1]:1"};
    static const char *const bad[] = {"",         "a",       "a:",     ":7001",     "a:0",
                                      "a:65536",  "a:7001x", "a b:1",  "a\"b:1",    "a:b:1",
                                      "[::1:1",   "::1]:1",  "[]:1",   "a/b:1",     "a:-1",
                                      "a:000001", "a\\b:1",  "a\nb:1", "tcp://a:1", "[a]b:1"};
    char long_one[ADDRESS_BYTES + 8];
    char host[ADDRESS_BYTES];
    uint16_t port;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(address_check(good[i], NULL, NULL, NULL), ERR_NONE, "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(address_check(bad[i], NULL, NULL, NULL), ERR_INVALID, "%s", bad[i]);
    memset(long_one, 'a', sizeof long_one);
    memcpy(long_one + sizeof long_one - 5, ":123", 5);
    cr_assert_eq(address_check(long_one, NULL, NULL, NULL), ERR_INVALID);
    cr_assert_eq(address_check("[::1]:7001", host, &port, NULL), ERR_NONE);
    cr_assert_str_eq(host, "::1");
    cr_assert_eq(port, 7001);
}

Test(addresses, are_loopback_only_when_all_are)
{
    addresses_t list;

    cr_assert_eq(addresses_parse(&list, "127.0.0.1:1", "127.0.0.1:1,127.9.9.9:2,[::1]:3", NULL),
                 ERR_NONE);
    cr_assert(addresses_are_loopback(&list));
    cr_assert_eq(addresses_parse(&list, "127.0.0.1:1", "127.0.0.1:1,10.0.0.1:1", NULL), ERR_NONE);
    cr_assert(!addresses_are_loopback(&list));
    /* A name may come to mean another machine. */
    cr_assert_eq(addresses_parse(&list, "localhost:1", "localhost:1", NULL), ERR_NONE);
    cr_assert(!addresses_are_loopback(&list));
    cr_assert_eq(addresses_parse(&list, "[::2]:1", "[::2]:1", NULL), ERR_NONE);
    cr_assert(!addresses_are_loopback(&list));
}

Test(addresses, of_numbers_resolve_to_themselves)
{
    char numeric[ADDRESS_BYTES];

    cr_assert_eq(address_resolve("127.0.0.1:7001", numeric, NULL), ERR_NONE);
    cr_assert_str_eq(numeric, "127.0.0.1:7001");
    cr_assert_eq(address_resolve("[::1]:7001", numeric, NULL), ERR_NONE);
    cr_assert_str_eq(numeric, "[::1]:7001");
}

Test(addresses, are_bounded_in_number)
{
    char list[ADDRESSES_MAX * 24 + 64];
    size_t n = 0;
    addresses_t parsed;

    for (int i = 0; i < ADDRESSES_MAX; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "node%03d:7001,", i);
    cr_assert_eq(addresses_parse(&parsed, "node000:7001", list, NULL), ERR_NONE);
    (void)snprintf(list + n, sizeof list - n, "node999:7001");
    cr_assert_eq(addresses_parse(&parsed, "node000:7001", list, NULL), ERR_INVALID);
}
