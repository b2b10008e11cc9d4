/* fuzz_http_request.c - any bytes as a request head, path, query, form or multipart body
 *
 * The first byte chooses the reader. Oracles: nothing is read outside the input (each reader gets
 * its own block of exactly the size that the server guarantees), what is accepted is valid UTF-8
 * without NUL, and a head that passes names one length at most.
 */
#include "http/form.h"
#include "http/head.h"
#include "http/routes.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define ARENA_BYTES ((size_t)1 << 22)

static arena_t arena;

static void check_text(text_t text)
{
    INVARIANT(text_is_utf8(text.bytes, text.n));
    INVARIANT(text.n == 0 || memchr(text.bytes, '\0', text.n) == NULL);
}

static void check_form(errcode_t rc, const json_t *root)
{
    uint32_t count = 0;

    if (rc != ERR_NONE)
        return;
    INVARIANT(root->type == JSON_OBJECT);
    for (const json_t *member = root->child; member != NULL; member = member->next) {
        check_text((text_t){member->name, member->name_bytes});
        check_text((text_t){member->text, member->text_bytes});
        for (const json_t *other = member->next; other != NULL; other = other->next)
            INVARIANT(other->name_bytes != member->name_bytes ||
                      memcmp(other->name, member->name, member->name_bytes) != 0);
        count++;
    }
    INVARIANT(count == root->count);
}

/* As the library cuts a head into fields; see test_http_body.c. The block ends where its buffer may
 * end. */
static void check_head(const uint8_t *bytes, size_t n)
{
    char *text = calloc(1, n + HEAD_BYTES_MAX);
    char *at = text;
    head_field_t fields[64];
    size_t count = 0, head_bytes, lengths = 0, hosts = 0;
    head_t head;
    const char *fault;

    INVARIANT(text != NULL);
    if (n > 0)
        memcpy(text, bytes, n);
    while (count < 64) {
        char *name = at;

        while (*at != ':' && *at > 32 && *at < 127)
            at++;
        if (at == name)
            break;
        while (*at == ' ')
            *at++ = '\0';
        if (*at != ':')
            break;
        *at++ = '\0';
        while (*at == ' ' || *at == '\t')
            at++;
        fields[count++] = (head_field_t){name, at};
        while (*at != '\0' && *at != '\r' && *at != '\n')
            at++;
        if (*at == '\r')
            *at++ = '\0';
        if (*at == '\0')
            break;
        *at++ = '\0';
        if (*at == '\r' || *at == '\n')
            break;
    }
    if (head_layout(text, fields, count, &head_bytes, &fault) == 0)
        INVARIANT(head_bytes <= HEAD_BYTES_MAX);
    if (head_read(&head, "POST", "1.1", fields, count, &fault) == 0) {
        text_t boundary, key;
        char id[64];

        for (size_t i = 0; i < count; i++) {
            lengths += strcasecmp(fields[i].name, "content-length") == 0;
            lengths += strcasecmp(fields[i].name, "transfer-encoding") == 0;
            hosts += strcasecmp(fields[i].name, "host") == 0;
        }
        INVARIANT(lengths <= 1);
        INVARIANT(hosts == 1);
        INVARIANT(head.content_length >= -1);
        INVARIANT(!head.chunked || head.content_length == -1);
        (void)head_accepts(head.accept, "application/json");
        (void)head_media(head.content_type, &boundary);
        INVARIANT(boundary.n <= 70);
        (void)head_token(head.authorization, &key);
        if (head.request_id != NULL)
            INVARIANT(head_clean_id(head.request_id, id, sizeof id) < sizeof id);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char *text;
    json_t *root;
    text_t value, segments[ROUTE_SEGMENTS_MAX];
    bool found;
    int count;

    if (n == 0)
        return 0;
    if (arena.max == 0)
        arena_init(&arena, ARENA_BYTES);
    arena_reset(&arena);
    /* Paths, queries and header values end in NUL; bodies do too, one byte behind their length. */
    text = malloc(n);
    INVARIANT(text != NULL);
    memcpy(text, bytes + 1, n - 1);
    text[n - 1] = '\0';
    switch (bytes[0] % 7) {
    case 0: check_head(bytes + 1, n - 1); break;
    case 1:
        if (percent_decode(&value, text, n - 1, (bytes[0] & 128) != 0, &arena, NULL) == ERR_NONE) {
            check_text(value);
            INVARIANT(value.bytes[value.n] == '\0');
            INVARIANT(value.n <= n - 1);
        }
        break;
    case 2:
        if (query_parameter(&value, &found, text, "page", &arena, NULL) == ERR_NONE && found)
            check_text(value);
        break;
    case 3: check_form(form_parse(&root, &arena, text, n - 1, NULL), root); break;
    case 4:
        check_form(multipart_parse(&root, &arena, text_of("B"), text, n - 1, NULL), root);
        break;
    case 5:
        if (routes_split(text, segments, &count, &arena, NULL) == ERR_NONE) {
            INVARIANT(count <= ROUTE_SEGMENTS_MAX);
            for (int i = 0; i < count; i++)
                check_text(segments[i]);
        }
        break;
    default:
        (void)head_accepts(text, "application/json");
        (void)head_media(text, &value);
        (void)head_token(text, &value);
        break;
    }
    free(text);
    return 0;
}
