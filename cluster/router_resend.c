/* router_resend.c - on a shared log: a command finds its partition's owner, though that changes meanwhile
 *
 * The asker's request stays here; what travels is a copy of it, a new one each time it is sent. A copy that comes back
 * as not applied is parked until the partition has another owner, or the same in a new epoch, and then sent again.
 */
#include "cluster/router_state.h"

#include <stdlib.h>

typedef struct {
    parked_t parked; /* first: the parking knows only this */
    router_t *router;
    request_t *asked; /* reference; what the asker waits for */
    unsigned sends;
    bool ticket; /* nothing is sent: the asker wants to know when the owner is there */
    err_t why;   /* it came back last; ERR_NONE: it was never sent */
} delivery_t;

static delivery_t *delivery_new(router_t *self, request_t *asked);
static void delivery_free(delivery_t *delivery);
static void delivery_fail(delivery_t *delivery, const err_t *err);
static errcode_t deliver(delivery_t *delivery, err_t *err);
static void came_back(request_t *copy, void *context);
static errcode_t park(delivery_t *delivery, const err_t *why, err_t *err);
static int64_t patience_ends_us(const router_t *self, int64_t deadline_us);
static errcode_t why_not(const delivery_t *delivery, err_t *err);

errcode_t router_post_shared(router_t *self, request_t *request, err_t *err)
{
    delivery_t *delivery;
    errcode_t rc;

    /* Before the number of partitions is known nobody can tell which one is meant. */
    if (!atomic_load_explicit(&self->counted, memory_order_acquire) ||
        request->partition > router_partitions(self))
        return err_set(err, ERR_UNREACHABLE, "this node is starting");
    delivery = delivery_new(self, request);
    rc = deliver(delivery, err);
    if (rc != ERR_NONE)
        delivery_free(delivery);
    return rc;
}

bool router_await_owner(router_t *self, uint16_t partition, uint32_t seen, int64_t deadline_us,
                        int64_t *until_us)
{
    request_t *asked = request_new(partition, NULL, 0, deadline_us);
    delivery_t *delivery = delivery_new(self, asked);
    waiter_t waiter;
    bool there = false;

    if (*until_us == 0)
        *until_us = patience_ends_us(self, deadline_us);
    waiter_init(&waiter);
    waiter_watch(&waiter, asked);
    delivery->ticket = true;
    delivery->parked.seen = seen;
    delivery->parked.until_us = *until_us;
    if (park(delivery, NULL, NULL) == ERR_NONE) {
        there = router_wait_for(self, &waiter, 1, deadline_us) && asked->err.code == ERR_NONE;
        waiter_abandon(&waiter, asked);
    } else {
        delivery_free(delivery);
    }
    request_release(asked);
    return there;
}

bool router_parked_ready(void *state, const parked_t *parked)
{
    router_t *self = state;

    return atomic_load_explicit(&self->changes[parked->partition], memory_order_acquire) !=
               parked->seen &&
           route_is_usable(route_of(self, parked->partition));
}

void router_parked_resume(void *state, parked_t *parked)
{
    delivery_t *delivery = (delivery_t *)parked;
    router_t *self = state;
    err_t err;

    (void)atomic_fetch_add_explicit(&self->resumed, 1, memory_order_relaxed);
    if (delivery->ticket) {
        request_complete(delivery->asked, NULL, 0, NULL);
        delivery_free(delivery);
    } else if (deliver(delivery, &err) != ERR_NONE) {
        delivery_fail(delivery, &err);
    }
}

void router_parked_give_up(void *state, parked_t *parked)
{
    delivery_t *delivery = (delivery_t *)parked;
    err_t err;

    (void)state;
    (void)why_not(delivery, &err);
    delivery_fail(delivery, &err);
}

static delivery_t *delivery_new(router_t *self, request_t *asked)
{
    delivery_t *delivery = memory_zalloc(sizeof *delivery);

    delivery->router = self;
    delivery->asked = asked;
    delivery->parked.partition = asked->partition;
    request_retain(asked);
    return delivery;
}

static void delivery_free(delivery_t *delivery)
{
    request_release(delivery->asked);
    free(delivery);
}

static void delivery_fail(delivery_t *delivery, const err_t *err)
{
    request_complete(delivery->asked, NULL, 0, err);
    delivery_free(delivery);
}

/* ERR_NONE: the delivery is on its way, or parked, and may be gone already. Else it is still the caller's. */
static errcode_t deliver(delivery_t *delivery, err_t *err)
{
    router_t *self = delivery->router;
    const request_t *asked = delivery->asked;
    uint16_t partition = asked->partition;
    uint32_t route;
    request_t *copy;
    err_t why = {.code = ERR_NONE};
    errcode_t rc;

    delivery->parked.seen = atomic_load_explicit(&self->changes[partition], memory_order_acquire);
    route = route_of(self, partition);
    if (!route_is_usable(route))
        return park(delivery, NULL, err);
    delivery->sends++;
    copy = request_new(partition, asked->command, asked->command_bytes, asked->deadline_us);
    copy->done = came_back;
    copy->context = delivery;
    rc = ROUTE_KIND(route) == OWNER_SELF
             ? router_post_here(self, copy, &why)
             : transport_post(self->transport, ROUTE_LINK(route), LINK_COMMANDS, copy, &why);
    request_release(copy);
    if (rc == ERR_NOT_OWNER)
        return park(delivery, &why, err);
    if (rc != ERR_NONE && err != NULL)
        *err = why;
    return rc;
}

/* On whichever thread completed it. */
static void came_back(request_t *copy, void *context)
{
    delivery_t *delivery = context;
    err_t err;

    if (may_be_sent_again(delivery->router, copy->err.code, copy->partition,
                          delivery->parked.seen)) {
        if (park(delivery, &copy->err, &err) != ERR_NONE)
            delivery_fail(delivery, &err);
        return;
    }
    delivery->asked->place = copy->place;
    request_complete(delivery->asked, copy->result.bytes, copy->result.size, &copy->err);
    delivery_free(delivery);
}

/* As deliver(). */
static errcode_t park(delivery_t *delivery, const err_t *why, err_t *err)
{
    router_t *self = delivery->router;
    uint16_t partition = delivery->parked.partition;
    int64_t now_us = clock_boot_us(self->config.clock);
    int64_t unowned_us = atomic_load(&self->unowned_us[partition]);

    if (why != NULL)
        delivery->why = *why;
    if (delivery->parked.until_us == 0)
        delivery->parked.until_us = patience_ends_us(self, delivery->asked->deadline_us);
    if (delivery->sends >= OWNER_SENDS || now_us >= delivery->parked.until_us ||
        (unowned_us != 0 && now_us - unowned_us > OWNER_HOPELESS_US) ||
        !parking_add(self->parking, &delivery->parked))
        return why_not(delivery, err);
    return ERR_NONE;
}

static int64_t patience_ends_us(const router_t *self, int64_t deadline_us)
{
    int64_t left_us = OWNER_WAIT_US;

    if (deadline_us != 0 && deadline_us - clock_wall_us(self->config.clock) < left_us)
        left_us = deadline_us - clock_wall_us(self->config.clock);
    return clock_boot_us(self->config.clock) + left_us;
}

/* What it came back with is more to the point, unless that is about owners only. */
static errcode_t why_not(const delivery_t *delivery, err_t *err)
{
    if (delivery->why.code != ERR_UNREACHABLE)
        return router_no_owner(delivery->router, delivery->parked.partition, err);
    if (err != NULL)
        *err = delivery->why;
    return ERR_UNREACHABLE;
}
