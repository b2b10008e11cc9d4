/* bulk.c - ZeroMQ sockets for snapshots; settings as in wire.c, for the reasons given there */
#include "cluster/bulk.h"

#include "cluster/keys.h"
#include "cluster/snapshot.h"
#include "cluster/wire.h"
#include "protocol/metrics.h"

#include <czmq.h>

#define QUEUE_FRAMES   64  /* per peer; the window of a transfer is smaller */
#define DIAL_LINGER_MS 500 /* the last word lets the source forget the transfer */

struct bulk {
    zsock_t *socket; /* owned */
    bool listens;
    zmq_msg_t identity, head, body;
};

static errcode_t make(bulk_t **self_p, bool listens, const char *address,
                      const char *keys_directory, err_t *err);
static errcode_t apply_keys(bulk_t *self, const char *address, const char *keys_directory,
                            err_t *err);
static errcode_t endpoint(char out[ADDRESS_BYTES], const char *address, const char *port,
                          err_t *err);

errcode_t bulk_listen(bulk_t **self_p, const char *address, uint16_t port,
                      const char *keys_directory, uint16_t *bound, err_t *err)
{
    char numeric[ADDRESS_BYTES], where[ADDRESS_BYTES], number[8] = "*";
    errcode_t rc = make(self_p, true, address, keys_directory, err);
    int got;

    if (port != 0)
        (void)snprintf(number, sizeof number, "%u", port);
    if (rc == ERR_NONE)
        rc = address_resolve(address, numeric, err); /* bind knows no host names */
    if (rc == ERR_NONE)
        rc = endpoint(where, numeric, number, err);
    if (rc == ERR_NONE) {
        got = zsock_bind((*self_p)->socket, "tcp://%s", where);
        if (got < 0)
            rc = err_set(err, ERR_IO, "%s cannot be listened on for snapshots: %s", where,
                         zmq_strerror(zmq_errno()));
        else
            *bound = (uint16_t)got;
    }
    if (rc != ERR_NONE)
        bulk_close(self_p);
    return rc;
}

errcode_t bulk_dial(bulk_t **self_p, const char *address, uint16_t port, const char *keys_directory,
                    err_t *err)
{
    char where[ADDRESS_BYTES], number[8];
    errcode_t rc = make(self_p, false, address, keys_directory, err);

    (void)snprintf(number, sizeof number, "%u", port);
    if (rc == ERR_NONE)
        rc = endpoint(where, address, number, err);
    if (rc == ERR_NONE && zsock_connect((*self_p)->socket, "tcp://%s", where) != 0)
        rc = err_set(err, ERR_IO, "%s cannot be dialled for a snapshot: %s", where,
                     zmq_strerror(zmq_errno()));
    if (rc != ERR_NONE)
        bulk_close(self_p);
    return rc;
}

void bulk_close(bulk_t **self_p)
{
    bulk_t *self = *self_p;

    if (self == NULL)
        return;
    *self_p = NULL;
    zsock_destroy(&self->socket);
    (void)zmq_msg_close(&self->identity);
    (void)zmq_msg_close(&self->head);
    (void)zmq_msg_close(&self->body);
    free(self);
    wire_process_leave();
}

bool bulk_send(bulk_t *self, const bulk_peer_t *peer, const void *head, size_t head_bytes,
               const void *body, size_t body_bytes)
{
    void *socket = zsock_resolve(self->socket);

    if (peer != NULL && zmq_send(socket, peer->bytes, peer->n, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return false;
    if (zmq_send(socket, head, head_bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return false;
    return zmq_send(socket, body, body_bytes, ZMQ_DONTWAIT) >= 0;
}

static bool receive_part(bulk_t *self, zmq_msg_t *part)
{
    return zmq_msg_recv(part, zsock_resolve(self->socket), ZMQ_DONTWAIT) >= 0;
}

/* Whatever is left of a message that has not two parts. */
static void drop_rest(bulk_t *self, const zmq_msg_t *last)
{
    bool more = zmq_msg_more(last) != 0;
    zmq_msg_t rest;

    metric_add(METRIC_FRAMES_DROPPED, 1);
    (void)zmq_msg_init(&rest);
    while (more && receive_part(self, &rest))
        more = zmq_msg_more(&rest) != 0;
    (void)zmq_msg_close(&rest);
}

bool bulk_receive(bulk_t *self, bulk_frame_t *frame)
{
    /* A bound on malformed ones, so that a flood of them cannot keep this thread here. */
    for (int i = 0; i < 64; i++) {
        memset(frame, 0, sizeof *frame);
        if (self->listens) {
            if (!receive_part(self, &self->identity))
                return false;
            frame->peer.n = zmq_msg_size(&self->identity);
            if (!zmq_msg_more(&self->identity) || frame->peer.n > sizeof frame->peer.bytes) {
                drop_rest(self, &self->identity);
                continue;
            }
            memcpy(frame->peer.bytes, zmq_msg_data(&self->identity), frame->peer.n);
        }
        if (!receive_part(self, &self->head))
            return false;
        if (!zmq_msg_more(&self->head)) {
            drop_rest(self, &self->head);
            continue;
        }
        if (!receive_part(self, &self->body))
            return false;
        if (zmq_msg_more(&self->body)) {
            drop_rest(self, &self->body);
            continue;
        }
        frame->head = zmq_msg_data(&self->head);
        frame->head_bytes = zmq_msg_size(&self->head);
        frame->body = zmq_msg_data(&self->body);
        frame->body_bytes = zmq_msg_size(&self->body);
        return true;
    }
    return false;
}

void bulk_wait(bulk_t *self, int wakeup, bool to_send, int timeout_ms)
{
    zmq_pollitem_t items[] = {
        {zsock_resolve(self->socket), 0, (short)(ZMQ_POLLIN | (to_send ? ZMQ_POLLOUT : 0)), 0},
        {NULL, wakeup, ZMQ_POLLIN, 0},
    };

    /* A signal or a failing poll only makes the caller look earlier. */
    (void)zmq_poll(items, COUNT_OF(items), timeout_ms);
}

static errcode_t make(bulk_t **self_p, bool listens, const char *address,
                      const char *keys_directory, err_t *err)
{
    addresses_t one = {.count = 1};
    bulk_t *self;
    errcode_t rc = address_check(address, NULL, NULL, err);

    *self_p = NULL;
    if (rc != ERR_NONE)
        return rc;
    memcpy(one.text[0], address, strlen(address) + 1);
    if (keys_directory == NULL && !addresses_are_loopback(&one))
        return err_set(err, ERR_STATE,
                       "the node at %s gives and gets no snapshots: outside 127.0.0.0/8 that needs "
                       "keys, see `fealty keys` and --cluster-keys",
                       address);
    rc = wire_process_enter(keys_directory, err);
    if (rc != ERR_NONE)
        return rc;
    self = memory_zalloc(sizeof *self);
    *self_p = self;
    self->listens = listens;
    (void)zmq_msg_init(&self->identity);
    (void)zmq_msg_init(&self->head);
    (void)zmq_msg_init(&self->body);
    self->socket = zsock_new(listens ? ZMQ_ROUTER : ZMQ_DEALER);
    if (self->socket == NULL)
        return err_set(err, ERR_IO, "no socket: %s", zmq_strerror(zmq_errno()));
    zsock_set_sndhwm(self->socket, QUEUE_FRAMES);
    zsock_set_rcvhwm(self->socket, QUEUE_FRAMES);
    zsock_set_sndtimeo(self->socket, 0);
    zsock_set_linger(self->socket, listens ? 0 : DIAL_LINGER_MS);
    zsock_set_heartbeat_ivl(self->socket, 500);
    zsock_set_heartbeat_timeout(self->socket, 2000);
    zsock_set_heartbeat_ttl(self->socket, 2000);
    zsock_set_handshake_ivl(self->socket, 5000);
    zsock_set_maxmsgsize(self->socket, (int)SNAPSHOT_BYTES_MAX);
    if (address[0] == '[')
        zsock_set_ipv6(self->socket, 1);
    if (listens) {
        zsock_set_router_mandatory(self->socket, 1);
        zsock_set_backlog(self->socket, 32);
    } else {
        zsock_set_immediate(self->socket, 1);
        zsock_set_reconnect_ivl(self->socket, 50);
        zsock_set_reconnect_ivl_max(self->socket, 1000);
        zsock_set_connect_timeout(self->socket, 2000);
    }
    return keys_directory != NULL ? apply_keys(self, address, keys_directory, err) : ERR_NONE;
}

static errcode_t apply_keys(bulk_t *self, const char *address, const char *keys_directory,
                            err_t *err)
{
    char path[KEYS_PATH_BYTES];
    zcert_t *own = NULL, *peer = NULL;
    errcode_t rc = keys_secret_path(keys_directory, path, err);

    if (rc == ERR_NONE && (own = zcert_load(path)) == NULL)
        rc = err_set(err, ERR_STATE, "%s is no key pair", path);
    if (rc == ERR_NONE)
        zcert_apply(own, self->socket);
    if (rc == ERR_NONE && self->listens) {
        zsock_set_zap_domain(self->socket, WIRE_ZAP_DOMAIN);
        zsock_set_curve_server(self->socket, 1);
    } else if (rc == ERR_NONE) {
        rc = keys_peer_path(keys_directory, address, path, err);
        if (rc == ERR_NONE && (peer = zcert_load(path)) == NULL)
            rc = err_set(err, ERR_STATE, "there is no public key of the node at %s: %s", address,
                         path);
        if (rc == ERR_NONE)
            zsock_set_curve_serverkey(self->socket, zcert_public_txt(peer));
    }
    zcert_destroy(&peer);
    zcert_destroy(&own);
    return rc;
}

/* The host of an address with another port. */
static errcode_t endpoint(char out[ADDRESS_BYTES], const char *address, const char *port,
                          err_t *err)
{
    const char *colon = strrchr(address, ':');
    size_t host = colon != NULL ? (size_t)(colon - address) : 0;

    if (host == 0 || host + 1 + strlen(port) >= ADDRESS_BYTES)
        return err_set(err, ERR_INVALID, "%s is no address", address);
    memcpy(out, address, host);
    (void)snprintf(out + host, ADDRESS_BYTES - host, ":%s", port);
    return ERR_NONE;
}
