/* root.c - what stands at the host's root, and the API index */
#include "http/root.h"

#include "http/call.h"
#include "protocol/metrics.h"

#include <stdio.h>

static void info(exchange_t *self);
static void healthz(exchange_t *self);
static void readyz(exchange_t *self);
static void metrics(exchange_t *self);
static void cluster(exchange_t *self);
static void api_index(exchange_t *self);
static void index_row(void *exchange, const route_t *row);

static const char index_path[] = "/api/loyalty/v1/";

const route_t root_routes[] = {
    {METHOD_GET, "/", info, NULL, 0, ROUTE_PUBLIC, FAMILY_SERVICE, NULL},
    {METHOD_GET, "/healthz", healthz, NULL, 0, ROUTE_PUBLIC, FAMILY_SERVICE, NULL},
    {METHOD_GET, "/readyz", readyz, NULL, 0, ROUTE_PUBLIC, FAMILY_SERVICE, NULL},
    {METHOD_GET, "/metrics", metrics, NULL, 0, ROUTE_PUBLIC, FAMILY_SERVICE, NULL},
    {METHOD_GET, "/cluster/", cluster, NULL, 0, ROUTE_PUBLIC, FAMILY_SERVICE, NULL},
    {METHOD_GET, "/api/loyalty/v1/", api_index, NULL, 0, 0, FAMILY_RESOURCE, NULL},
};
const size_t root_route_count = COUNT_OF(root_routes);

static void write_url(exchange_t *self, const char *path)
{
    size_t bytes = strlen(self->base_url) + strlen(path) + 1;
    char *url = arena_alloc(self->arena, bytes);

    if (url == NULL) {
        buffer_text(&self->out, "null");
        return;
    }
    snprintf(url, bytes, "%s%s", self->base_url, path);
    json_write_string(&self->out, url, bytes - 1);
}

static void info(exchange_t *self)
{
    const char *version = call_of(self)->server->config.version;

    self->status = 200;
    buffer_text(&self->out, "{\"service\":\"Fealty\",\"version\":");
    json_write_string(&self->out, version, strlen(version));
    buffer_text(&self->out, ",\"endpoints\":{\"internal_api\":");
    write_url(self, index_path);
    /* Named by the contract, not served by this version. */
    buffer_text(&self->out, ",\"external_integration\":null,\"tmf_api\":null,\"admin\":null},"
                            "\"documentation\":{\"api_base\":");
    write_url(self, index_path);
    buffer_text(&self->out, ",\"tmf_base\":null}}");
}

static void healthz(exchange_t *self)
{
    self->status = 200;
    buffer_text(&self->out, "{\"status\":\"ok\"}");
}

static void readyz(exchange_t *self)
{
    self->status = router_ready(self->router, &self->out) ? 200 : 503;
    if (self->status == 503)
        buffer_text(&self->headers, "Retry-After: 1\r\n");
}

static void metrics(exchange_t *self)
{
    self->status = 200;
    self->content_type = "text/plain; version=0.0.4; charset=utf-8";
    metrics_write(&self->out);
    buffer_printf(&self->out,
                  "# HELP fealty_http_requests_active Requests being answered\n"
                  "# TYPE fealty_http_requests_active gauge\n"
                  "fealty_http_requests_active %d\n",
                  atomic_load(&call_of(self)->server->active));
}

static void cluster(exchange_t *self)
{
    const http_config_t *config = &call_of(self)->server->config;
    err_t err;

    if (config->cluster_status == NULL) {
        err_set(&err, ERR_NOT_FOUND,
                "This node keeps its own log: its nodes and partitions are shown by /readyz.");
        exchange_error(self, &err);
        return;
    }
    self->status = 200;
    config->cluster_status(config->cluster, &self->out);
}

static void api_index(exchange_t *self)
{
    self->status = 200;
    buffer_byte(&self->out, '{');
    routes_each(call_of(self)->server->routes, index_row, self);
    buffer_byte(&self->out, '}');
}

/* Every list that stands directly below the index. */
static void index_row(void *exchange, const route_t *row)
{
    exchange_t *self = exchange;
    const char *name = row->pattern + sizeof index_path - 1;
    size_t bytes;

    if (row->method != METHOD_GET || strncmp(row->pattern, index_path, sizeof index_path - 1) != 0)
        return;
    bytes = strcspn(name, "/{");
    if (bytes == 0 || name[bytes] != '/' || name[bytes + 1] != '\0')
        return;
    if (self->out.size > 1)
        buffer_byte(&self->out, ',');
    json_write_string(&self->out, name, bytes);
    buffer_byte(&self->out, ':');
    write_url(self, row->pattern);
}
