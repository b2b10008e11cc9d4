/* options.c - reads the flags of a tool */
#include "node/options.h"

#include <stdio.h>
#include <string.h>

static options_outcome_t wrong(const char *usage, const char *before, const char *word,
                               const char *after)
{
    (void)fprintf(stderr, "%s%.80s%s\n\n%s", before, word, after, usage);
    return OPTIONS_WRONG;
}

static const option_t *find(const option_t *options, size_t count, const char *word, size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == n && strncmp(options[i].name, word, n) == 0)
            return &options[i];
    return NULL;
}

options_outcome_t options_parse(int argc, char **argv, const option_t *options, size_t count,
                                const char **words, size_t words_least, size_t words_max,
                                size_t *word_count, const char *usage)
{
    size_t found = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(usage, stdout);
            return OPTIONS_HELP;
        }
        if (strncmp(argv[i], "--", 2) != 0) {
            if (found == words_max)
                return wrong(usage, "", argv[i], ": one word too many.");
            words[found++] = argv[i];
            continue;
        }
        const char *equals = strchr(argv[i], '=');
        size_t n = equals != NULL ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        const option_t *option = find(options, count, argv[i], n);
        if (option == NULL)
            return wrong(usage, "There is no flag ", argv[i], ".");
        if (option->on != NULL) {
            if (equals != NULL)
                return wrong(usage, "", option->name, " takes no value.");
            *option->on = true;
        } else if (equals != NULL) {
            *option->text = equals + 1;
        } else if (i + 1 < argc) {
            *option->text = argv[++i];
        } else {
            return wrong(usage, "", option->name, " needs a value after it.");
        }
    }
    if (word_count != NULL)
        *word_count = found;
    if (found < words_least)
        return wrong(usage, "", "Something is missing.", "");
    return OPTIONS_GOOD;
}
