/* wire.c - ZeroMQ sockets and their settings; the only file that sends and receives, but for bulk.c
 *
 * Each setting below is there for a reason that was measured: ROUTER without `mandatory` loses without a sign, a
 * DEALER without `immediate` keeps frames for whoever binds the address later, and without heartbeats a cut cable
 * goes unnoticed for minutes.
 */
#include "cluster/wire.h"

#include "cluster/keys.h"
#include "protocol/metrics.h"

#include <czmq.h>
#include <pthread.h>
#include <signal.h>

struct wire {
    char own_address[ADDRESS_BYTES];
    hash_t incarnation;
    char keys_directory[KEYS_PATH_BYTES];
    zcert_t *own;                    /* owned; NULL without keys */
    zsock_t *receiver;               /* owned */
    zsock_t *senders[ADDRESSES_MAX]; /* owned; NULL: nobody is dialled */
    int wakeup;
    zmq_msg_t identity, header, body;
};

/* czmq keeps one context and one authenticator per process. The mutex guards these two. */
static pthread_mutex_t process_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned process_wires;
static zactor_t *process_authenticator; /* owned */

static errcode_t authenticator_start(const char *keys_directory, err_t *err);
static errcode_t open_receiver(wire_t *self, err_t *err);
static errcode_t open_sender(wire_t *self, size_t link, const char *address, err_t *err);
static errcode_t apply_keys(wire_t *self, zsock_t *sender, const char *address, err_t *err);
static void set_common(zsock_t *socket, bool ipv6);
static bool receive_part(wire_t *self, zmq_msg_t *part, int flags);
static void drop_rest(wire_t *self, const zmq_msg_t *last);

errcode_t wire_open(wire_t **self_p, const addresses_t *addresses, const char *keys_directory,
                    const hash_t *incarnation, int wakeup, err_t *err)
{
    wire_t *self = NULL;
    char path[KEYS_PATH_BYTES];
    errcode_t rc = ERR_NONE;

    if (keys_directory != NULL)
        rc = keys_check(keys_directory, addresses, err);
    else if (!addresses_are_loopback(addresses))
        rc =
            err_set(err, ERR_STATE,
                    "cluster addresses outside 127.0.0.0/8 need keys: make them with `fealty keys` "
                    "and give each node its directory with --cluster-keys");
    if (rc == ERR_NONE)
        rc = wire_process_enter(keys_directory, err);
    if (rc != ERR_NONE)
        return rc;

    self = memory_zalloc(sizeof *self);
    memcpy(self->own_address, addresses->text[addresses->own], sizeof self->own_address);
    self->incarnation = *incarnation;
    self->wakeup = wakeup;
    (void)zmq_msg_init(&self->identity);
    (void)zmq_msg_init(&self->header);
    (void)zmq_msg_init(&self->body);
    if (keys_directory != NULL) {
        rc = keys_secret_path(keys_directory, path, err);
        if (rc == ERR_NONE && (self->own = zcert_load(path)) == NULL)
            rc = err_set(err, ERR_STATE, "%s is no key pair", path);
        /* A path that is short enough for the secret below it is short enough here. */
        if (rc == ERR_NONE)
            memcpy(self->keys_directory, keys_directory, strlen(keys_directory) + 1);
    }
    if (rc == ERR_NONE)
        rc = open_receiver(self, err);
    for (size_t i = 0; rc == ERR_NONE && i < addresses->count; i++) {
        if (i != addresses->own)
            rc = open_sender(self, i, addresses->text[i], err);
    }
    if (rc != ERR_NONE)
        wire_destroy(&self, 0);
    *self_p = self;
    return rc;
}

void wire_destroy(wire_t **self_p, int linger_ms)
{
    wire_t *self = *self_p;

    if (self == NULL)
        return;
    for (size_t i = 0; i < ADDRESSES_MAX; i++) {
        if (self->senders[i] != NULL)
            zsock_set_linger(self->senders[i], linger_ms);
        zsock_destroy(&self->senders[i]);
    }
    zsock_destroy(&self->receiver);
    zcert_destroy(&self->own);
    (void)zmq_msg_close(&self->identity);
    (void)zmq_msg_close(&self->header);
    (void)zmq_msg_close(&self->body);
    free(self);
    *self_p = NULL;
    wire_process_leave();
}

errcode_t wire_dial(wire_t *self, size_t link, const char *address, err_t *err)
{
    addresses_t one = {.count = 1};
    errcode_t rc = address_check(address, NULL, NULL, err);

    INVARIANT(self->senders[link] == NULL);
    if (rc != ERR_NONE)
        return rc;
    memcpy(one.text[0], address, strlen(address) + 1);
    if (self->own == NULL && !addresses_are_loopback(&one))
        return err_set(err, ERR_STATE,
                       "the node at %s is not dialled: outside 127.0.0.0/8 that needs keys, see "
                       "`fealty keys` and --cluster-keys",
                       address);
    rc = open_sender(self, link, address, err);
    if (rc != ERR_NONE)
        zsock_destroy(&self->senders[link]);
    return rc;
}

void wire_hang_up(wire_t *self, size_t link)
{
    zsock_destroy(&self->senders[link]);
}

bool wire_can_send(wire_t *self, size_t link)
{
    return self->senders[link] != NULL && (zsock_events(self->senders[link]) & ZMQ_POLLOUT) != 0;
}

bool wire_send(wire_t *self, size_t link, const void *header, size_t header_bytes, const void *body,
               size_t body_bytes)
{
    void *socket;

    if (self->senders[link] == NULL)
        return false;
    socket = zsock_resolve(self->senders[link]);
    if (zmq_send(socket, header, header_bytes, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return false;
    return zmq_send(socket, body, body_bytes, ZMQ_DONTWAIT) >= 0;
}

bool wire_receive(wire_t *self, wire_frame_t *frame)
{
    /* A bound on malformed ones, so that a flood of them cannot keep this thread here. */
    for (int i = 0; i < 64; i++) {
        if (!receive_part(self, &self->identity, ZMQ_DONTWAIT))
            return false;
        if (!zmq_msg_more(&self->identity)) {
            metric_add(METRIC_FRAMES_DROPPED, 1);
            continue;
        }
        if (!receive_part(self, &self->header, 0))
            return false;
        if (!zmq_msg_more(&self->header)) {
            metric_add(METRIC_FRAMES_DROPPED, 1);
            continue;
        }
        if (!receive_part(self, &self->body, 0))
            return false;
        if (zmq_msg_more(&self->body)) {
            drop_rest(self, &self->body);
            continue;
        }
        *frame = (wire_frame_t){zmq_msg_data(&self->header), zmq_msg_size(&self->header),
                                zmq_msg_data(&self->body), zmq_msg_size(&self->body)};
        return true;
    }
    return false;
}

void wire_wait(wire_t *self, const bool *blocked, int timeout_ms)
{
    zmq_pollitem_t items[2 + ADDRESSES_MAX];
    int count = 0;

    items[count++] = (zmq_pollitem_t){zsock_resolve(self->receiver), 0, ZMQ_POLLIN, 0};
    items[count++] = (zmq_pollitem_t){NULL, self->wakeup, ZMQ_POLLIN, 0};
    for (size_t i = 0; blocked != NULL && i < ADDRESSES_MAX; i++) {
        if (blocked[i] && self->senders[i] != NULL)
            items[count++] = (zmq_pollitem_t){zsock_resolve(self->senders[i]), 0, ZMQ_POLLOUT, 0};
    }
    /* A signal or a failing poll only makes the caller look earlier; it never spins, since it does its round first. */
    (void)zmq_poll(items, count, timeout_ms);
}

errcode_t wire_process_enter(const char *keys_directory, err_t *err)
{
    errcode_t rc = ERR_NONE;

    (void)pthread_mutex_lock(&process_lock);
    if (process_wires == 0) {
        struct sigaction interrupt, terminate;

        /* czmq takes these two signals when it starts; they belong to node/. */
        (void)sigaction(SIGINT, NULL, &interrupt);
        (void)sigaction(SIGTERM, NULL, &terminate);
        if (zsys_init() == NULL)
            rc = err_set(err, ERR_IO, "ZeroMQ cannot be started: %s", zmq_strerror(zmq_errno()));
        zsys_handler_set(NULL);
        (void)sigaction(SIGINT, &interrupt, NULL);
        (void)sigaction(SIGTERM, &terminate, NULL);
    }
    if (rc == ERR_NONE && keys_directory != NULL && process_authenticator == NULL)
        rc = authenticator_start(keys_directory, err);
    if (rc == ERR_NONE)
        process_wires++;
    else if (process_wires == 0)
        zsys_shutdown();
    (void)pthread_mutex_unlock(&process_lock);
    return rc;
}

void wire_process_leave(void)
{
    (void)pthread_mutex_lock(&process_lock);
    if (--process_wires == 0) {
        zactor_destroy(&process_authenticator);
        zsys_shutdown();
    }
    (void)pthread_mutex_unlock(&process_lock);
}

static errcode_t authenticator_start(const char *keys_directory, err_t *err)
{
    char path[KEYS_PATH_BYTES];
    errcode_t rc = keys_public_path(keys_directory, path, err);

    if (rc != ERR_NONE)
        return rc;
    process_authenticator = zactor_new(zauth, NULL);
    if (process_authenticator == NULL)
        return err_set(err, ERR_IO, "the authenticator of ZeroMQ cannot be started");
    if (zstr_sendx(process_authenticator, "CURVE", path, NULL) != 0 ||
        zsock_wait(process_authenticator) != 0) {
        zactor_destroy(&process_authenticator);
        return err_set(err, ERR_IO, "the authenticator of ZeroMQ does not take %s", path);
    }
    return ERR_NONE;
}

static errcode_t open_receiver(wire_t *self, err_t *err)
{
    char numeric[ADDRESS_BYTES];
    errcode_t rc = address_resolve(self->own_address, numeric, err); /* bind knows no host names */

    if (rc != ERR_NONE)
        return rc;
    self->receiver = zsock_new(ZMQ_ROUTER);
    if (self->receiver == NULL)
        return err_set(err, ERR_IO, "no socket: %s", zmq_strerror(zmq_errno()));
    set_common(self->receiver, numeric[0] == '[');
    zsock_set_router_mandatory(self->receiver, 1);
    zsock_set_router_handover(self->receiver, 1);
    zsock_set_backlog(self->receiver, 128);
    if (self->own != NULL) {
        zsock_set_zap_domain(self->receiver, WIRE_ZAP_DOMAIN);
        zcert_apply(self->own, self->receiver);
        zsock_set_curve_server(self->receiver, 1);
    }
    if (zsock_bind(self->receiver, "tcp://%s", numeric) < 0)
        return err_set(err, ERR_IO, "%s cannot be listened on: %s", self->own_address,
                       zmq_strerror(zmq_errno()));
    return ERR_NONE;
}

static errcode_t open_sender(wire_t *self, size_t link, const char *address, err_t *err)
{
    char identity[ADDRESS_BYTES + 2 * HASH_BYTES + 2];
    zsock_t *sender = zsock_new(ZMQ_DEALER);
    size_t n;
    errcode_t rc;

    self->senders[link] = sender;
    if (sender == NULL)
        return err_set(err, ERR_IO, "no socket: %s", zmq_strerror(zmq_errno()));
    n = (size_t)snprintf(identity, sizeof identity, "%s/", self->own_address);
    for (size_t i = 0; i < HASH_BYTES; i++)
        n +=
            (size_t)snprintf(identity + n, sizeof identity - n, "%02x", self->incarnation.bytes[i]);
    set_common(sender, address[0] == '[');
    zsock_set_identity(sender, identity);
    zsock_set_immediate(sender, 1);
    zsock_set_reconnect_ivl(sender, 50);
    zsock_set_reconnect_ivl_max(sender, 1000);
    zsock_set_connect_timeout(sender, 2000);
    rc = apply_keys(self, sender, address, err);
    if (rc != ERR_NONE)
        return rc;
    if (zsock_connect(sender, "tcp://%s", address) != 0)
        return err_set(err, ERR_IO, "%s cannot be dialled: %s", address, zmq_strerror(zmq_errno()));
    return ERR_NONE;
}

static errcode_t apply_keys(wire_t *self, zsock_t *sender, const char *address, err_t *err)
{
    char path[KEYS_PATH_BYTES];
    zcert_t *peer;
    errcode_t rc;

    if (self->own == NULL)
        return ERR_NONE;
    rc = keys_peer_path(self->keys_directory, address, path, err);
    if (rc != ERR_NONE)
        return rc;
    peer = zcert_load(path);
    if (peer == NULL)
        return err_set(err, ERR_STATE, "there is no public key of the node at %s: %s", address,
                       path);
    zcert_apply(self->own, sender);
    zsock_set_curve_serverkey(sender, zcert_public_txt(peer));
    zcert_destroy(&peer);
    return ERR_NONE;
}

static void set_common(zsock_t *socket, bool ipv6)
{
    zsock_set_sndhwm(socket, 2000);
    zsock_set_rcvhwm(socket, 2000);
    zsock_set_sndtimeo(socket, 0);
    zsock_set_linger(socket, 0);
    zsock_set_heartbeat_ivl(socket, 500);
    zsock_set_heartbeat_timeout(socket, 2000);
    zsock_set_heartbeat_ttl(socket, 2000);
    zsock_set_handshake_ivl(socket, 5000);
    zsock_set_maxmsgsize(socket, (int)LINK_BODY_BYTES_MAX);
    if (ipv6)
        zsock_set_ipv6(socket, 1);
}

/* Parts behind the first are there already: ZeroMQ hands over whole messages. */
static bool receive_part(wire_t *self, zmq_msg_t *part, int flags)
{
    return zmq_msg_recv(part, zsock_resolve(self->receiver), flags) >= 0;
}

static void drop_rest(wire_t *self, const zmq_msg_t *last)
{
    zmq_msg_t rest;
    bool more = zmq_msg_more(last) != 0;

    metric_add(METRIC_FRAMES_DROPPED, 1);
    (void)zmq_msg_init(&rest);
    while (more && receive_part(self, &rest, 0))
        more = zmq_msg_more(&rest) != 0;
    (void)zmq_msg_close(&rest);
}
