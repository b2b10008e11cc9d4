/* keys.c - files with CURVE key pairs, as czmq reads and writes them */
#include "cluster/keys.h"

#include <czmq.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static errcode_t make_directory(const char *path, err_t *err);
static errcode_t path_join(char path[KEYS_PATH_BYTES], err_t *err, const char *a, const char *b);
static void file_name(char name[ADDRESS_BYTES], const char *address);
static errcode_t write_node(const char *directory, const addresses_t *addresses, size_t node,
                            zcert_t *const *certificates, err_t *err);

errcode_t keys_generate(const char *directory, const addresses_t *addresses, err_t *err)
{
    zcert_t *certificates[ADDRESSES_MAX] = {NULL};
    errcode_t rc = make_directory(directory, err);

    for (size_t i = 0; rc == ERR_NONE && i < addresses->count; i++) {
        char name[ADDRESS_BYTES];
        char path[KEYS_PATH_BYTES];
        struct stat there;

        file_name(name, addresses->text[i]);
        rc = path_join(path, err, directory, name);
        if (rc == ERR_NONE && lstat(path, &there) == 0)
            rc = err_set(err, ERR_STATE, "%s exists already; keys are never overwritten", path);
    }
    for (size_t i = 0; rc == ERR_NONE && i < addresses->count; i++) {
        certificates[i] = zcert_new();
        if (certificates[i] == NULL)
            rc = err_set(err, ERR_IO, "libzmq was built without CURVE");
        else
            zcert_set_meta(certificates[i], "address", "%s", addresses->text[i]);
    }
    for (size_t i = 0; rc == ERR_NONE && i < addresses->count; i++)
        rc = write_node(directory, addresses, i, certificates, err);

    for (size_t i = 0; i < addresses->count; i++)
        zcert_destroy(&certificates[i]);
    return rc;
}

errcode_t keys_secret_path(const char *directory, char path[KEYS_PATH_BYTES], err_t *err)
{
    return path_join(path, err, directory, "secret");
}

errcode_t keys_public_path(const char *directory, char path[KEYS_PATH_BYTES], err_t *err)
{
    return path_join(path, err, directory, "public");
}

errcode_t keys_peer_path(const char *directory, const char *address, char path[KEYS_PATH_BYTES],
                         err_t *err)
{
    char public_path[KEYS_PATH_BYTES];
    char name[ADDRESS_BYTES];
    errcode_t rc = keys_public_path(directory, public_path, err);

    if (rc != ERR_NONE)
        return rc;
    file_name(name, address);
    return path_join(path, err, public_path, name);
}

errcode_t keys_check(const char *directory, const addresses_t *addresses, err_t *err)
{
    char path[KEYS_PATH_BYTES];
    struct stat file;
    errcode_t rc = keys_secret_path(directory, path, err);

    if (rc != ERR_NONE)
        return rc;
    if (stat(path, &file) != 0)
        return err_set(err, ERR_STATE, "%s: %s; `fealty keys` makes one per node", path,
                       strerror(errno));
    if ((file.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return err_set(err, ERR_STATE, "%s can be read by others: chmod 600 it", path);
    for (size_t i = 0; i < addresses->count; i++) {
        rc = keys_peer_path(directory, addresses->text[i], path, err);
        if (rc != ERR_NONE)
            return rc;
        if (stat(path, &file) != 0)
            return err_set(err, ERR_STATE, "the public key of node %s is missing: %s",
                           addresses->text[i], path);
    }
    return ERR_NONE;
}

static errcode_t write_node(const char *directory, const addresses_t *addresses, size_t node,
                            zcert_t *const *certificates, err_t *err)
{
    char own[KEYS_PATH_BYTES], path[KEYS_PATH_BYTES], name[ADDRESS_BYTES];
    errcode_t rc;

    file_name(name, addresses->text[node]);
    rc = path_join(own, err, directory, name);
    if (rc == ERR_NONE)
        rc = make_directory(own, err);
    if (rc == ERR_NONE)
        rc = keys_public_path(own, path, err);
    if (rc == ERR_NONE)
        rc = make_directory(path, err);
    if (rc == ERR_NONE)
        rc = keys_secret_path(own, path, err);
    if (rc != ERR_NONE)
        return rc;
    if (zcert_save_secret(certificates[node], path) != 0 || chmod(path, S_IRUSR | S_IWUSR) != 0)
        return err_set(err, ERR_IO, "%s cannot be written: %s", path, strerror(errno));
    for (size_t i = 0; i < addresses->count; i++) {
        rc = keys_peer_path(own, addresses->text[i], path, err);
        if (rc != ERR_NONE)
            return rc;
        if (zcert_save_public(certificates[i], path) != 0)
            return err_set(err, ERR_IO, "%s cannot be written: %s", path, strerror(errno));
    }
    return ERR_NONE;
}

static errcode_t make_directory(const char *path, err_t *err)
{
    if (mkdir(path, S_IRWXU) != 0 && errno != EEXIST)
        return err_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    return ERR_NONE;
}

static errcode_t path_join(char path[KEYS_PATH_BYTES], err_t *err, const char *a, const char *b)
{
    int n = snprintf(path, KEYS_PATH_BYTES, "%s/%s", a, b);

    if (n < 0 || n >= KEYS_PATH_BYTES)
        return err_set(err, ERR_INVALID, "the path of the keys is longer than %d bytes",
                       KEYS_PATH_BYTES - 1);
    return ERR_NONE;
}

/* A colon in a file name would mean a host to scp. */
static void file_name(char name[ADDRESS_BYTES], const char *address)
{
    size_t i = 0;

    for (; address[i] != '\0' && i + 1 < ADDRESS_BYTES; i++)
        name[i] = address[i] == ':' ? '_' : address[i];
    name[i] = '\0';
}
