/* keys.h - who may speak to whom: one CURVE key pair per node
 *
 * Contract   `fealty keys` writes one directory per node: its own key pair (file `secret`, mode 0600) and the public
 *            keys of all nodes (folder `public`, one file per address). A node accepts connections only from holders
 *            of keys in `public`, and dials an address only with the key that stands there for it.
 * Threads    keys_generate: any. keys_node_path, keys_peer_path: pure.
 * Ownership  Nothing is kept.
 * Units      Nothing to say.
 * Errors     ERR_IO, ERR_STATE (something is there already), ERR_INVALID.
 */
#ifndef FEALTY_KEYS_H
#define FEALTY_KEYS_H

#include "cluster/addresses.h"

#define KEYS_PATH_BYTES 240 /* czmq cuts longer ones short */

/* Makes directory/ADDRESS/{secret,public/ADDRESS...} for all addresses; ':' is written as '_'. Never overwrites. */
errcode_t keys_generate(const char *directory, const addresses_t *addresses, err_t *err);

/* DIRECTORY/secret, DIRECTORY/public and DIRECTORY/public/ADDRESS of one node's directory. */
errcode_t keys_secret_path(const char *directory, char path[KEYS_PATH_BYTES], err_t *err);
errcode_t keys_public_path(const char *directory, char path[KEYS_PATH_BYTES], err_t *err);
errcode_t keys_peer_path(const char *directory, const char *address, char path[KEYS_PATH_BYTES],
                         err_t *err);
/* ERR_STATE unless the secret key is a file that nobody else can read, and every peer's public key is there. */
errcode_t keys_check(const char *directory, const addresses_t *addresses, err_t *err);

/* fealty keys --out DIR --nodes HOST:PORT,HOST:PORT,... */
int tool_keys(int argc, char **argv);

#endif
