/* options.h - flags and words of the small tools
 *
 * Contract   options_parse() reads `--name VALUE`, `--name=VALUE`, switches, and words; `--help` prints the usage.
 * Threads    Nothing to say: start of a tool.
 * Ownership  Values are borrowed from argv.
 * Units      Nothing to say.
 * Errors     Prints one sentence and the usage to standard error and returns OPTIONS_WRONG.
 */
#ifndef FEALTY_OPTIONS_H
#define FEALTY_OPTIONS_H

#include "protocol/compiler.h"

/* Exit codes of all tools (README of node/). */
#define EXIT_USAGE   1
#define EXIT_REFUSED 2
#define EXIT_IO      74

typedef enum { OPTIONS_GOOD, OPTIONS_HELP, OPTIONS_WRONG } options_outcome_t;

typedef struct {
    const char *name;  /* with -- */
    const char **text; /* one of the two is set */
    bool *on;
} option_t;

/* argv[0] is the tool's name. At most `words_max` words go to words; fewer than `words_least` are wrong. */
options_outcome_t options_parse(int argc, char **argv, const option_t *options, size_t count,
                                const char **words, size_t words_least, size_t words_max,
                                size_t *word_count, const char *usage);

#endif
