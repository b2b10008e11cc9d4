/* log.h - one line per event, for people or as JSON
 *
 * Contract   log_write formats one line to standard error. Never a password, token or key.
 * Threads    Any; a line is written by one write(2).
 * Ownership  Nothing is kept.
 * Units      Nothing to say.
 * Errors     Lost lines are counted, never reported.
 */
#ifndef FEALTY_LOG_H
#define FEALTY_LOG_H

#include "protocol/compiler.h"

typedef enum { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR } log_level_t;

void log_configure(log_level_t least, bool json);
bool log_enabled(log_level_t level);
/* `request_id` may be NULL. */
void log_write(log_level_t level, const char *request_id, const char *format, ...)
    PRINTF_LIKE(3, 4);

#define log_info(...)  log_write(LOG_INFO, NULL, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, NULL, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, NULL, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, NULL, __VA_ARGS__)

#endif
