/* schema_value.h - one value against the type of its field; used by the check of whole bodies
 *
 * Contract   schema_value_check() appends the wire form of a good value to *out, or returns the message for the client.
 *            SCHEMA_NESTED is not for it.
 * Threads    Pure.
 * Ownership  Messages are constant or live in the arena.
 * Units      See schema.h.
 * Errors     The message. *out may then hold part of a value.
 */
#ifndef FEALTY_SCHEMA_VALUE_H
#define FEALTY_SCHEMA_VALUE_H

#include "protocol/schema.h"

#define SCHEMA_TEXT_NULL    "This field may not be null."
#define SCHEMA_TEXT_NO_ROOM "The value is too large."

const char *schema_value_check(const schema_check_t *check, const schema_field_t *field,
                               const json_t *value, buffer_t *out);
/* The parsed form of a string that holds a JSON object or list; else the value itself. */
const json_t *schema_value_unwrap(const json_t *value, arena_t *arena);
/* Formats into the arena; a constant when it is full. */
const char *schema_message(arena_t *arena, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
