/* membership_status.c - the body of GET /cluster/ */
#include "cluster/membership_state.h"
#include "protocol/json.h"

#include <inttypes.h>

static void put_hash(buffer_t *out, const char *name, const hash_t *hash);
static void put_text(buffer_t *out, const char *name, const char *text);
static void put_members(const membership_t *self, buffer_t *out, const size_t *owned);
static void put_partition(const membership_t *self, buffer_t *out, uint16_t partition,
                          const membership_partition_t *figures, const holding_t *holding,
                          size_t owner);

void membership_status(const membership_t *self, buffer_t *out)
{
    size_t owned[VIEW_MEMBERS_MAX] = {0};

    buffer_text(out, "{");
    put_hash(out, "node", &self->config.node);
    buffer_text(out, ",");
    put_hash(out, "incarnation", &self->config.incarnation);
    buffer_printf(out, ",\"joined\":%s,\"trouble\":", self->joined ? "true" : "false");
    if (self->trouble[0] != '\0')
        json_write_string(out, self->trouble, strlen(self->trouble));
    else
        buffer_text(out, "null");
    if (!self->viewed) {
        buffer_text(out, ",\"view\":0,\"members\":[],\"partition_list\":[]}");
        return;
    }
    buffer_text(out, ",");
    put_hash(out, "cluster", &self->view->cluster);
    buffer_printf(
        out, ",\"view\":%" PRIu64 ",\"feature_level\":%u,\"partitions\":%u,\"followers\":%u,",
        self->view->number, self->view->feature, self->view->partitions, self->view->followers);
    buffer_text(out, "\"partition_list\":[");
    for (size_t i = 0; i <= self->view->partitions; i++) {
        uint16_t p = (uint16_t)i;
        membership_partition_t figures = membership_figures(self, p);
        holding_t holding = membership_holding(self, p, &figures);
        size_t owner = figures.owned && self->me != SIZE_MAX ? self->me
                       : holding.kind == HOLDING_MEMBER      ? holding.member
                                                             : SIZE_MAX;

        if (owner < self->view->member_count)
            owned[owner]++;
        if (p > 0)
            buffer_text(out, ",");
        put_partition(self, out, p, &figures, &holding, owner);
    }
    buffer_text(out, "],\"members\":[");
    put_members(self, out, owned);
    buffer_text(out, "]}");
}

static void put_members(const membership_t *self, buffer_t *out, const size_t *owned)
{
    for (size_t i = 0; i < self->view->member_count; i++) {
        const view_member_t *member = &self->view->members[i];
        const peer_said_t *said = membership_said(self, i);

        buffer_text(out, i > 0 ? ",{" : "{");
        put_hash(out, "node", &member->node);
        buffer_text(out, ",");
        put_text(out, "address", member->address);
        buffer_text(out, ",");
        put_text(out, "rack", member->rack);
        buffer_printf(out,
                      ",\"weight\":%u,\"feature_level\":%u,\"this_node\":%s,\"alive\":%s,"
                      "\"stopping\":%s,\"owned\":%zu,\"silent\":%" PRIu64 "}",
                      member->weight, member->feature, i == self->me ? "true" : "false",
                      membership_alive(self, i) ? "true" : "false",
                      said != NULL && said->beat.stopping ? "true" : "false", owned[i],
                      membership_silence(self, i));
    }
}

static void put_partition(const membership_t *self, buffer_t *out, uint16_t partition,
                          const membership_partition_t *figures, const holding_t *holding,
                          size_t owner)
{
    const view_t *view = self->view;
    const uint8_t *copies = view->copies[partition];

    buffer_printf(out, "{\"partition\":%u,\"owner\":", partition);
    if (owner < view->member_count)
        json_write_string(out, view->members[owner].address, strlen(view->members[owner].address));
    else
        buffer_text(out, "null");
    buffer_printf(out, ",\"epoch\":%" PRIu64 ",", holding->epoch);
    put_text(out, "view_owner", view->members[copies[0]].address);
    buffer_printf(out, ",\"moved\":%s,\"followers\":[",
                  view->moved[partition] != 0 ? "true" : "false");
    for (size_t i = 1; i < VIEW_COPIES_MAX && copies[i] != VIEW_NOBODY; i++) {
        const peer_said_t *said = membership_said(self, copies[i]);
        bool ready = copies[i] == self->me
                         ? membership_near(figures)
                         : said != NULL && channel_bit(said->beat.ready, partition);

        buffer_text(out, i > 1 ? ",{" : "{");
        put_text(out, "address", view->members[copies[i]].address);
        buffer_printf(out, ",\"ready\":%s}", ready ? "true" : "false");
    }
    buffer_text(out, "]}");
}

static void put_hash(buffer_t *out, const char *name, const hash_t *hash)
{
    buffer_printf(out, "\"%s\":\"", name);
    for (size_t i = 0; i < HASH_BYTES; i++)
        buffer_printf(out, "%02x", hash->bytes[i]);
    buffer_text(out, "\"");
}

static void put_text(buffer_t *out, const char *name, const char *text)
{
    buffer_printf(out, "\"%s\":", name);
    json_write_string(out, text, strlen(text));
}
