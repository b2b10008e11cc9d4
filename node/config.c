/* config.c - the table of settings and its four readers: flags, environment, file, people */
#include "node/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_LINE_MAX 2048
#define KEY_MAX       64

typedef enum { KIND_PART, KIND_TEXT, KIND_NUMBER, KIND_SWITCH, KIND_CHOICE } kind_t;

typedef struct {
    kind_t kind;
    const char *name; /* with underscores; of a part: its title */
    size_t offset, size;
    const char *standard;
    uint32_t least, most;
    const char *choices;
    const char *meaning;
} setting_t;

#define TABLE_PART(title) {.kind = KIND_PART, .name = title},
#define TABLE_TEXT(field, value, text)     \
    {.kind = KIND_TEXT,                    \
     .name = #field,                       \
     .offset = offsetof(config_t, field),  \
     .size = sizeof((config_t *)0)->field, \
     .standard = value,                    \
     .meaning = text},
#define TABLE_NUMBER(field, value, low, high, text) \
    {.kind = KIND_NUMBER,                           \
     .name = #field,                                \
     .offset = offsetof(config_t, field),           \
     .size = sizeof((config_t *)0)->field,          \
     .standard = #value,                            \
     .least = low,                                  \
     .most = high,                                  \
     .meaning = text},
#define TABLE_SWITCH(field, text)          \
    {.kind = KIND_SWITCH,                  \
     .name = #field,                       \
     .offset = offsetof(config_t, field),  \
     .size = sizeof((config_t *)0)->field, \
     .standard = "false",                  \
     .meaning = text},
#define TABLE_CHOICE(field, value, list, text) \
    {.kind = KIND_CHOICE,                      \
     .name = #field,                           \
     .offset = offsetof(config_t, field),      \
     .size = sizeof((config_t *)0)->field,     \
     .standard = value,                        \
     .choices = list,                          \
     .meaning = text},

static const setting_t settings[] = {
    CONFIG_FIELDS(TABLE_PART, TABLE_TEXT, TABLE_NUMBER, TABLE_SWITCH, TABLE_CHOICE)};

static const setting_t *find(const char *key);
static void key_of(const setting_t *setting, char out[KEY_MAX]);
static void variable_of(const setting_t *setting, char out[KEY_MAX]);
static errcode_t load_file(config_t *self, const char *path, err_t *err);
static errcode_t load_environment(config_t *self, err_t *err);
static errcode_t load_flags(config_t *self, int argc, char **argv, bool *help, err_t *err);
static const char *flag_value(int argc, char **argv, const char *name);

void config_default(config_t *self)
{
    memset(self, 0, sizeof *self);
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        char key[KEY_MAX];
        if (settings[i].kind == KIND_PART)
            continue;
        key_of(&settings[i], key);
        INVARIANT(config_set(self, key, settings[i].standard, "default", NULL) == ERR_NONE);
    }
}

errcode_t config_load(config_t *self, int argc, char **argv, bool *help, err_t *err)
{
    const char *path = flag_value(argc, argv, "--config");
    errcode_t rc;

    config_default(self);
    *help = false;
    if (path == NULL)
        path = getenv("FEALTY_CONFIG");
    if (path != NULL) {
        rc = load_file(self, path, err);
        if (rc != ERR_NONE)
            return rc;
    }
    rc = load_environment(self, err);
    if (rc != ERR_NONE)
        return rc;
    return load_flags(self, argc, argv, help, err);
}

static errcode_t set_number(const setting_t *setting, void *field, const char *key,
                            const char *value, const char *where, err_t *err)
{
    char *end;
    unsigned long number;

    errno = 0;
    number = strtoul(value, &end, 10);
    if (!isdigit((unsigned char)value[0]) || *end != '\0' || errno != 0 ||
        number < setting->least || number > setting->most)
        return err_field(err, ERR_INVALID, key,
                         "%s: %s is a whole number from %u to %u, not \"%.40s\"", where, key,
                         setting->least, setting->most, value);
    uint32_t small = (uint32_t)number;
    memcpy(field, &small, sizeof small);
    return ERR_NONE;
}

static errcode_t set_switch(void *field, const char *key, const char *value, const char *where,
                            err_t *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0", ""};
    bool on = false;
    bool known = false;

    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (strcmp(value, yes[i]) == 0)
            known = on = true;
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (strcmp(value, no[i]) == 0)
            known = true;
    if (!known)
        return err_field(err, ERR_INVALID, key, "%s: %s is true or false, not \"%.40s\"", where,
                         key, value);
    memcpy(field, &on, sizeof on);
    return ERR_NONE;
}

static bool among(const char *choices, const char *value)
{
    size_t n = strlen(value);

    for (const char *at = choices; n > 0 && at != NULL;) {
        if (strncmp(at, value, n) == 0 && (at[n] == '|' || at[n] == '\0'))
            return true;
        at = strchr(at, '|');
        at = at == NULL ? NULL : at + 1;
    }
    return false;
}

errcode_t config_set(config_t *self, const char *key, const char *value, const char *where,
                     err_t *err)
{
    const setting_t *setting = find(key);

    if (setting == NULL)
        return err_field(err, ERR_INVALID, key,
                         "%s: there is no setting `%.40s`; `fealty node --help` lists all", where,
                         key);
    void *field = (char *)self + setting->offset;
    switch (setting->kind) {
    case KIND_TEXT:
        if (strlen(value) >= setting->size)
            return err_field(err, ERR_INVALID, key, "%s: %s is longer than %zu bytes", where, key,
                             setting->size - 1);
        (void)snprintf(field, setting->size, "%s", value);
        return ERR_NONE;
    case KIND_NUMBER: return set_number(setting, field, key, value, where, err);
    case KIND_SWITCH: return set_switch(field, key, value, where, err);
    case KIND_CHOICE:
        if (!among(setting->choices, value))
            return err_field(err, ERR_INVALID, key, "%s: %s is one of %s, not \"%.40s\"", where,
                             key, setting->choices, value);
        (void)snprintf(field, setting->size, "%s", value);
        return ERR_NONE;
    case KIND_PART: break;
    }
    INVARIANT(!"find() gives no part");
    return ERR_INTERNAL;
}

/* ---- the three places ---- */

static char *trimmed(char *text)
{
    size_t n;

    while (isspace((unsigned char)*text))
        text++;
    n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

static errcode_t load_file(config_t *self, const char *path, err_t *err)
{
    char line[FILE_LINE_MAX];
    char where[320];
    unsigned number = 0;
    errcode_t rc = ERR_NONE;
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return err_set(err, ERR_INVALID, "cannot read the configuration file %.120s: %s", path,
                       strerror(errno));
    while (rc == ERR_NONE && fgets(line, sizeof line, file) != NULL) {
        number++;
        (void)snprintf(where, sizeof where, "%.120s line %u", path, number);
        if (strchr(line, '\n') == NULL && !feof(file)) {
            rc = err_set(err, ERR_INVALID, "%s: the line is longer than %d bytes", where,
                         FILE_LINE_MAX - 2);
            break;
        }
        char *key = trimmed(line);
        if (*key == '\0' || *key == '#')
            continue;
        char *equals = strchr(key, '=');
        if (equals == NULL) {
            rc = err_set(err, ERR_INVALID, "%s: a line reads `setting = value`", where);
            break;
        }
        *equals = '\0';
        rc = config_set(self, trimmed(key), trimmed(equals + 1), where, err);
    }
    if (rc == ERR_NONE && ferror(file) != 0)
        rc = err_set(err, ERR_INVALID, "cannot read the configuration file %.120s: %s", path,
                     strerror(errno));
    (void)fclose(file);
    return rc;
}

static errcode_t load_environment(config_t *self, err_t *err)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        char variable[KEY_MAX];
        char key[KEY_MAX];

        if (settings[i].kind == KIND_PART)
            continue;
        variable_of(&settings[i], variable);
        const char *value = getenv(variable);
        if (value == NULL)
            continue;
        key_of(&settings[i], key);
        errcode_t rc = config_set(self, key, value, variable, err);
        if (rc != ERR_NONE)
            return rc;
    }
    return ERR_NONE;
}

static errcode_t load_flags(config_t *self, int argc, char **argv, bool *help, err_t *err)
{
    for (int i = 0; i < argc && argv[i] != NULL; i++) {
        char flag[KEY_MAX];
        char *equals;

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *help = true;
            return ERR_NONE;
        }
        if (strncmp(argv[i], "--", 2) != 0)
            return err_set(err, ERR_INVALID, "\"%.60s\" is no flag; flags start with --", argv[i]);
        (void)snprintf(flag, sizeof flag, "%s", argv[i]);
        equals = strchr(flag, '=');
        if (equals != NULL)
            *equals = '\0';
        bool is_config = strcmp(flag, "--config") == 0;
        const setting_t *setting = is_config ? NULL : find(flag + 2);
        if (!is_config && setting == NULL)
            return err_set(err, ERR_INVALID,
                           "there is no flag %.60s; `fealty node --help` lists all", flag);
        const char *value = strchr(argv[i], '=');
        if (value != NULL)
            value++;
        else if (!is_config && setting->kind == KIND_SWITCH)
            value = "true";
        else if (i + 1 < argc)
            value = argv[++i];
        else
            return err_set(err, ERR_INVALID, "%s needs a value after it", flag);
        if (is_config)
            continue;
        errcode_t rc = config_set(self, flag + 2, value, flag, err);
        if (rc != ERR_NONE)
            return rc;
    }
    return ERR_NONE;
}

/* The file has to be read before the other flags, which win over it. */
static const char *flag_value(int argc, char **argv, const char *name)
{
    const char *value = NULL;
    size_t n = strlen(name);

    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], name, n) != 0)
            continue;
        if (argv[i][n] == '=')
            value = argv[i] + n + 1;
        else if (argv[i][n] == '\0' && i + 1 < argc)
            value = argv[++i];
    }
    return value;
}

/* ---- names ---- */

static const setting_t *find(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        char own[KEY_MAX];
        if (settings[i].kind == KIND_PART)
            continue;
        key_of(&settings[i], own);
        if (strcmp(own, key) == 0)
            return &settings[i];
    }
    return NULL;
}

static void key_of(const setting_t *setting, char out[KEY_MAX])
{
    (void)snprintf(out, KEY_MAX, "%s", setting->name);
    for (char *c = out; *c != '\0'; c++)
        if (*c == '_')
            *c = '-';
}

static void variable_of(const setting_t *setting, char out[KEY_MAX])
{
    (void)snprintf(out, KEY_MAX, "FEALTY_%s", setting->name);
    for (char *c = out; *c != '\0'; c++)
        *c = (char)toupper((unsigned char)*c);
}

/* ---- for people ---- */

static const char *value_name(const setting_t *setting)
{
    switch (setting->kind) {
    case KIND_NUMBER: return "NUMBER";
    case KIND_CHOICE: return setting->choices;
    case KIND_TEXT: return "TEXT";
    default: return "";
    }
}

void config_help(buffer_t *out)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const setting_t *setting = &settings[i];
        char key[KEY_MAX];

        if (setting->kind == KIND_PART) {
            buffer_printf(out, "\n%s\n", setting->name);
            continue;
        }
        key_of(setting, key);
        buffer_printf(out, "  --%s%s%s\n      %s", key, setting->kind == KIND_SWITCH ? "" : " ",
                      value_name(setting), setting->meaning);
        if (setting->kind == KIND_NUMBER)
            buffer_printf(out, " (%u to %u; %s)\n", setting->least, setting->most,
                          setting->standard);
        else if (setting->kind != KIND_SWITCH && setting->standard[0] != '\0')
            buffer_printf(out, " (%s)\n", setting->standard);
        else
            buffer_text(out, "\n");
    }
}

static void markdown_cell(buffer_t *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            buffer_byte(out, '\\');
        buffer_byte(out, (uint8_t)*text);
    }
}

void config_markdown(buffer_t *out)
{
    buffer_text(
        out, "# Configuration\n\n"
             "This page is written by `make docs` from the table in `node/config.h`; `fealty node "
             "--help` prints the "
             "same.\n\n"
             "Every setting can be given in three places. Flags win over the environment, the "
             "environment wins over "
             "the\nfile, the file wins over the default.\n\n"
             "| place | example |\n|---|---|\n"
             "| flag | `fealty node --cache-mib 512` |\n"
             "| environment | `FEALTY_CACHE_MIB=512` |\n"
             "| file, named by `--config FILE` or `FEALTY_CONFIG` | `cache-mib = 512` (lines that "
             "start with `#` are "
             "comments) |\n\n"
             "`FEALTY_ADMIN_PASSWORD` is read from the environment only: it is the password of the "
             "first user, "
             "`admin`, at the\nfirst start. Without it a random one is made and printed once.\n");
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const setting_t *setting = &settings[i];
        char key[KEY_MAX];
        char variable[KEY_MAX];

        if (setting->kind == KIND_PART) {
            buffer_printf(out,
                          "\n## %s\n\n| setting | variable | type | default | meaning "
                          "|\n|---|---|---|---|---|\n",
                          setting->name);
            continue;
        }
        key_of(setting, key);
        variable_of(setting, variable);
        buffer_printf(out, "| `%s` | `%s` | ", key, variable);
        if (setting->kind == KIND_NUMBER)
            buffer_printf(out, "%u to %u", setting->least, setting->most);
        else if (setting->kind == KIND_SWITCH)
            buffer_text(out, "true or false");
        else
            markdown_cell(out, setting->kind == KIND_TEXT ? "text" : setting->choices);
        buffer_printf(out, " | %s%s%s | ", setting->standard[0] ? "`" : "", setting->standard,
                      setting->standard[0] ? "`" : "");
        markdown_cell(out, setting->meaning);
        buffer_text(out, " |\n");
    }
}
