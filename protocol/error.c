/* error.c - the table of error codes and the two functions that fill an err_t */
#include "protocol/error.h"

#undef err_set /* see the end of error.h */
#undef err_field

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const err_info_t infos[ERR__COUNT] = {
#define X(code, wire_name, sentence, status, form, again) \
    [code] = {.name = (wire_name),                        \
              .text = (sentence),                         \
              .http = (status),                           \
              .shape = (form),                            \
              .retry = (again)},
    ERR_MAP(X)
#undef X
};

static void fill(err_t *err, errcode_t code, const char *field, const char *format, va_list args)
    PRINTF_LIKE(4, 0);
static void trim_cut_character(char *text, size_t bytes);

const err_info_t *err_info(errcode_t code)
{
    INVARIANT((unsigned)code < ERR__COUNT);
    return &infos[code];
}

errcode_t err_set(err_t *err, errcode_t code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, "", format, args);
    va_end(args);
    return code;
}

errcode_t err_field(err_t *err, errcode_t code, const char *field, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fill(err, code, field, format, args);
    va_end(args);
    return code;
}

static void fill(err_t *err, errcode_t code, const char *field, const char *format, va_list args)
{
    int wanted;

    INVARIANT((unsigned)code < ERR__COUNT);
    if (err == NULL)
        return;
    err->code = code;
    wanted = snprintf(err->field, sizeof err->field, "%s", field);
    if (wanted >= (int)sizeof err->field)
        trim_cut_character(err->field, sizeof err->field - 1);
    if (format == NULL)
        wanted = snprintf(err->text, sizeof err->text, "%s", infos[code].text);
    else
        wanted = vsnprintf(err->text, sizeof err->text, format, args);
    if (wanted < 0)
        err->text[0] = '\0';
    else if (wanted >= (int)sizeof err->text)
        trim_cut_character(err->text, sizeof err->text - 1);
}

/* Texts quote what clients sent. Where the buffer cut a UTF-8 character in two, its first half goes
 * too, or the answer that carries the text would not be valid JSON. */
static void trim_cut_character(char *text, size_t bytes)
{
    size_t lead = bytes;
    size_t width;

    while (lead > 0 && bytes - lead < 4 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
        lead--;
    if (lead == 0)
        return;
    lead--;
    unsigned char first = (unsigned char)text[lead];
    width = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
    if (lead + width > bytes)
        text[lead] = '\0';
}
