/* fuzz_json.c - any bytes: the reader survives, and what it accepts survives writing and reading again
 *
 * Oracles: write(parse(x)) parses; its canonical form equals that of x; the canonical form parses and
 * is its own canonical form; a second writing changes nothing.
 */
#include "protocol/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define OUTPUT_MAX ((size_t)1 << 24)
#define ARENA_MAX  ((size_t)1 << 26)

static const char *const skip[] = {"idempotency_key", NULL};
static const char *const alias[][2] = {{"reward_cost", "points"}, {NULL, NULL}};
static const char *const numeric[] = {"points", "amount", NULL};
static const json_canonical_t rules = {.skip = skip, .alias = alias, .numeric = numeric};

static void canonical_of(const json_t *root, const json_canonical_t *with, arena_t *arena,
                         buffer_t *out)
{
    buffer_init(out, OUTPUT_MAX);
    json_write_canonical(out, root, with, arena);
    INVARIANT(!out->failed);
}

static json_t *parsed(const buffer_t *text, arena_t *arena)
{
    json_t *root = NULL;

    INVARIANT(json_parse(&root, arena, (const char *)text->bytes, text->size, NULL) == ERR_NONE);
    return root;
}

static void expect_equal(const buffer_t *a, const buffer_t *b)
{
    INVARIANT(a->size == b->size);
    INVARIANT(a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    arena_t arena;
    json_t *root = NULL;
    err_t err;

    arena_init(&arena, ARENA_MAX);
    errcode_t rc = json_parse(&root, &arena, (const char *)bytes, n, &err);
    INVARIANT(rc == ERR_NONE || rc == ERR_MALFORMED || rc == ERR_TOO_LARGE);
    if (rc == ERR_NONE) {
        buffer_t written, again, canonical, canonical_again, twice, ruled, ruled_again;

        buffer_init(&written, OUTPUT_MAX);
        json_write(&written, root);
        INVARIANT(!written.failed);
        canonical_of(root, NULL, &arena, &canonical);
        canonical_of(root, &rules, &arena, &ruled);

        const json_t *second = parsed(&written, &arena);
        buffer_init(&again, OUTPUT_MAX);
        json_write(&again, second);
        expect_equal(&written, &again);
        canonical_of(second, NULL, &arena, &canonical_again);
        expect_equal(&canonical, &canonical_again);
        canonical_of(second, &rules, &arena, &ruled_again);
        expect_equal(&ruled, &ruled_again);

        canonical_of(parsed(&canonical, &arena), NULL, &arena, &twice);
        expect_equal(&canonical, &twice);

        buffer_free(&written);
        buffer_free(&again);
        buffer_free(&canonical);
        buffer_free(&canonical_again);
        buffer_free(&twice);
        buffer_free(&ruled);
        buffer_free(&ruled_again);
    }
    arena_free(&arena);
    return 0;
}
