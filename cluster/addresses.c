/* addresses.c - HOST:PORT lists: checked, sorted, compared */
#include "cluster/addresses.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static errcode_t add_one(addresses_t *self, const char *text, size_t bytes, err_t *err);
static int compare_texts(const void *a, const void *b);
static bool host_character(char c);

errcode_t addresses_parse(addresses_t *self, const char *own, const char *list, err_t *err)
{
    const char *at = list;

    memset(self, 0, sizeof *self);
    while (*at != '\0') {
        size_t bytes = strcspn(at, ", \t");
        errcode_t rc = bytes > 0 ? add_one(self, at, bytes, err) : ERR_NONE;

        if (rc != ERR_NONE)
            return rc;
        at += bytes;
        at += strspn(at, ", \t");
    }
    if (self->count == 0)
        return err_set(err, ERR_INVALID, "the list of cluster addresses is empty");
    qsort(self->text, self->count, sizeof self->text[0], compare_texts);
    for (size_t i = 1; i < self->count; i++) {
        if (strcmp(self->text[i - 1], self->text[i]) == 0)
            return err_set(err, ERR_INVALID, "the cluster address %s is listed twice",
                           self->text[i]);
    }
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->text[i], own) == 0) {
            self->own = i;
            return ERR_NONE;
        }
    }
    return err_set(err, ERR_INVALID,
                   "the list of cluster addresses does not hold this node's own address %s", own);
}

bool addresses_are_loopback(const addresses_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        char host[ADDRESS_BYTES];
        uint16_t port;
        struct in_addr four;
        struct in6_addr six;

        if (address_check(self->text[i], host, &port, NULL) != ERR_NONE)
            return false;
        if (inet_pton(AF_INET, host, &four) == 1) {
            if (ntohl(four.s_addr) >> 24 != 127)
                return false;
        } else if (inet_pton(AF_INET6, host, &six) != 1 || !IN6_IS_ADDR_LOOPBACK(&six)) {
            return false;
        }
    }
    return self->count > 0;
}

hash_t addresses_digest(const addresses_t *self)
{
    char joined[ADDRESSES_MAX * ADDRESS_BYTES];
    size_t n = 0;

    for (size_t i = 0; i < self->count; i++) {
        size_t bytes = strlen(self->text[i]);

        memcpy(joined + n, self->text[i], bytes);
        n += bytes;
        joined[n++] = ',';
    }
    return hash_bytes(joined, n);
}

errcode_t address_check(const char *text, char host[ADDRESS_BYTES], uint16_t *port, err_t *err)
{
    const char *colon = strrchr(text, ':');
    size_t bytes = colon != NULL ? (size_t)(colon - text) : 0;
    const char *first = text;
    unsigned long number = 0;

    if (strlen(text) >= ADDRESS_BYTES)
        return err_set(err, ERR_INVALID, "a cluster address has at most %d characters",
                       ADDRESS_BYTES - 1);
    if (bytes == 0 || strlen(colon + 1) == 0 || strlen(colon + 1) > 5 ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return err_set(err, ERR_INVALID, "%s is not HOST:PORT", text);
    number = strtoul(colon + 1, NULL, 10);
    if (number == 0 || number > UINT16_MAX)
        return err_set(err, ERR_INVALID, "%s: the port is not 1 to 65535", text);
    if (text[0] == '[') {
        if (bytes < 4 || text[bytes - 1] != ']')
            return err_set(err, ERR_INVALID, "%s is not [IPV6]:PORT", text);
        first++;
        bytes -= 2;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (!host_character(first[i]) && !(text[0] == '[' && first[i] == ':'))
            return err_set(err, ERR_INVALID, "%s is not HOST:PORT", text);
    }
    if (host != NULL) {
        memcpy(host, first, bytes);
        host[bytes] = '\0';
    }
    if (port != NULL)
        *port = (uint16_t)number;
    return ERR_NONE;
}

errcode_t address_resolve(const char *text, char numeric[ADDRESS_BYTES], err_t *err)
{
    char host[ADDRESS_BYTES];
    char service[8];
    char resolved[INET6_ADDRSTRLEN + 1] = "";
    uint16_t port = 0;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    errcode_t rc = address_check(text, host, &port, err);
    int failed;

    if (rc != ERR_NONE)
        return rc;
    (void)snprintf(service, sizeof service, "%u", port);
    failed = getaddrinfo(host, service, &hints, &found);
    if (failed != 0)
        return err_set(err, ERR_IO, "%s: %s", text, gai_strerror(failed));
    failed = getnameinfo(found->ai_addr, found->ai_addrlen, resolved, sizeof resolved, NULL, 0,
                         NI_NUMERICHOST);
    if (failed != 0)
        rc = err_set(err, ERR_IO, "%s: %s", text, gai_strerror(failed));
    else
        (void)snprintf(numeric, ADDRESS_BYTES, found->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
                       resolved, port);
    freeaddrinfo(found);
    return rc;
}

static errcode_t add_one(addresses_t *self, const char *text, size_t bytes, err_t *err)
{
    char *to;

    if (self->count == ADDRESSES_MAX)
        return err_set(err, ERR_INVALID, "a cluster has at most %d addresses", ADDRESSES_MAX);
    if (bytes >= ADDRESS_BYTES)
        return err_set(err, ERR_INVALID, "a cluster address has at most %d characters",
                       ADDRESS_BYTES - 1);
    to = self->text[self->count++];
    memcpy(to, text, bytes);
    to[bytes] = '\0';
    return address_check(to, NULL, NULL, err);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool host_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}
