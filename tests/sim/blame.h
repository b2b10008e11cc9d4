/* blame.h - the first thing that does not hold is what a life failed of
 *
 * Contract   Writes the sentence to *err and sets *failed, unless something failed before.
 * Threads    One.
 * Ownership  Nothing is kept.
 * Units      Nothing to say.
 * Errors     None.
 */
#ifndef FEALTY_BLAME_H
#define FEALTY_BLAME_H

#include "protocol/error.h"

#include <stdarg.h>
#include <stdio.h>

static inline void blame(err_t *err, bool *failed, const char *format, va_list arguments)
{
    char text[sizeof err->text];

    if (*failed)
        return;
    vsnprintf(text, sizeof text, format, arguments);
    err_set(err, ERR_CORRUPT, "%s", text);
    *failed = true;
}

#endif
