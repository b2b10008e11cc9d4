/* render.c - results as JSON: frozen renderers, so that a replay is the original answer byte for
 * byte
 *
 * Each RENDER_*_1 is the wire shape of the day it was numbered. A change of shape is a new number;
 * these stay. The golden tests hold every byte (tests/unit/test_render.c).
 */
#include "http/exchange.h"

static void render_earn_1(const result_t *result, buffer_t *out);
static void render_burn_1(const result_t *result, buffer_t *out);
static void render_adjust_1(const result_t *result, buffer_t *out);
static void render_transfer_1(const result_t *result, buffer_t *out);
static void render_refusal_1(const result_t *result, route_family_t family, buffer_t *out);
static void render_detail_1(const result_t *result, route_family_t family, buffer_t *out);
static void render_input_1(const result_t *result, route_family_t family, buffer_t *out);
static void render_row(const result_t *result, const catalogue_t *catalogue, buffer_t *out);
static void put(buffer_t *out, const char *before, int64_t value);
static void put_id(buffer_t *out, const char *before, uint64_t id);
static void put_text(buffer_t *out, const char *before, text_t text);
static void put_text_or_null(buffer_t *out, const char *before, text_t text);
static void put_ppm(buffer_t *out, const char *before, int64_t ppm);
static void put_lines(buffer_t *out, const char *before, text_t lines);
static text_t first_line(text_t lines);

void render_result(const result_t *result, route_family_t family, const catalogue_t *catalogue,
                   buffer_t *out)
{
    switch ((renderer_t)result->renderer) {
    case RENDER_NONE: return;
    case RENDER_EARN_1: render_earn_1(result, out); return;
    case RENDER_BURN_1: render_burn_1(result, out); return;
    case RENDER_ADJUST_1: render_adjust_1(result, out); return;
    case RENDER_TRANSFER_1: render_transfer_1(result, out); return;
    case RENDER_REFUSAL_1: render_refusal_1(result, family, out); return;
    case RENDER_DETAIL_1: render_detail_1(result, family, out); return;
    case RENDER_ACCOUNT_1:
    case RENDER_ENTRY_1: render_row(result, catalogue, out); return;
    case RENDER_JSON_1: buffer_append(out, result->json.bytes, result->json.n); return;
    case RENDER_INPUT_1: render_input_1(result, family, out); return;
    }
    /* A node of an older version was given a result of a newer one. */
    buffer_text(out, "{\"detail\":\"this result needs a newer version to be shown\"}");
}

static void render_earn_1(const result_t *result, buffer_t *out)
{
    put_id(out, "{\"success\":true,\"transaction_id\":\"", result->entry);
    put(out, "\",\"points\":", result->points);
    put(out, ",\"balance_after\":", result->balance_after);
    put(out, ",\"metadata\":{\"base_points\":", result->base_points);
    put(out, ",\"calculated_points\":", result->calculated);
    put_ppm(out, ",\"tier_multiplier\":", result->multiplier_ppm);
    buffer_text(out, ",\"rules_applied\":false,\"rules\":[],\"caps\":[],\"clipped_points\":0}");
    if (result->old_tier.n > 0 || result->new_tier.n > 0) {
        put_text_or_null(out, ",\"tier_change\":{\"old_tier\":", result->old_tier);
        put_text_or_null(out, ",\"new_tier\":", result->new_tier);
        buffer_byte(out, '}');
    }
    buffer_byte(out, '}');
}

static void render_burn_1(const result_t *result, buffer_t *out)
{
    put_id(out, "{\"success\":true,\"transaction_id\":\"", result->entry);
    put(out, "\",\"points\":", result->points);
    put(out, ",\"balance_after\":", result->balance_after);
    put(out, ",\"metadata\":{\"reward_cost\":", result->cost);
    put(out, ",\"actual_cost\":", result->points);
    put(out, ",\"tier_discount\":", result->discount);
    buffer_text(out, "}}");
}

static void render_adjust_1(const result_t *result, buffer_t *out)
{
    put_id(out, "{\"success\":true,\"transaction_id\":\"", result->entry);
    put(out, "\",\"points\":", result->points);
    put(out, ",\"balance_after\":", result->balance_after);
    buffer_byte(out, '}');
}

static void render_transfer_1(const result_t *result, buffer_t *out)
{
    put_id(out, "{\"success\":true,\"transfer_id\":\"", result->transfer);
    put(out, "\",\"points\":", result->points);
    put_id(out, ",\"from\":{\"account_id\":", result->account);
    put_id(out, ",\"transaction_id\":\"", result->entry);
    put(out, "\",\"balance_after\":", result->balance_after);
    put_id(out, "},\"to\":{\"account_id\":", result->to_account);
    put_id(out, ",\"transaction_id\":\"", result->to_entry);
    put(out, "\",\"balance_after\":", result->to_balance_after);
    buffer_text(out, "}}");
}

static void render_refusal_1(const result_t *result, route_family_t family, buffer_t *out)
{
    if (family == FAMILY_RESOURCE) {
        render_detail_1(result, family, out);
        return;
    }
    put_text(out, "{\"success\":false,\"error\":", first_line(result->error));
    put_lines(out, ",\"errors\":", result->error);
    put_text(out, ",\"code\":", result->code);
    if (result->required != 0 || result->available != 0) {
        put(out, ",\"metadata\":{\"required\":", result->required);
        put(out, ",\"available\":", result->available);
        buffer_text(out, "}}");
    } else {
        buffer_text(out, ",\"metadata\":{}}");
    }
}

/* 404 is E on services and has no code on resources (never stored, so free to depend on the
 * family). */
static void render_detail_1(const result_t *result, route_family_t family, buffer_t *out)
{
    bool service_404 = family == FAMILY_SERVICE && result->status == 404;

    put_text(out, service_404 ? "{\"error\":" : "{\"detail\":", first_line(result->error));
    if (result->code.n > 0 && result->status != 404)
        put_text(out, ",\"code\":", result->code);
    buffer_byte(out, '}');
}

static void render_input_1(const result_t *result, route_family_t family, buffer_t *out)
{
    if (family == FAMILY_SERVICE) {
        put_text(out, "{\"error\":", first_line(result->error));
        buffer_byte(out, '}');
        return;
    }
    put_text(out, "{", result->field.n > 0 ? result->field : text_of("non_field_errors"));
    put_lines(out, ":", result->error);
    buffer_byte(out, '}');
}

static void render_row(const result_t *result, const catalogue_t *catalogue, buffer_t *out)
{
    err_t err;

    if (result->renderer == RENDER_ACCOUNT_1) {
        account_t account;

        if (account_decode(&account, result->row.bytes, result->row.n, &err) == ERR_NONE) {
            render_account(&account, catalogue, out);
            return;
        }
    } else {
        entry_t entry;

        if (entry_decode(&entry, result->row.bytes, result->row.n, &err) == ERR_NONE) {
            render_entry(&entry, out);
            return;
        }
    }
    buffer_text(out, "{\"detail\":\"the stored row cannot be read\"}");
}

void render_account(const account_t *account, const catalogue_t *catalogue, buffer_t *out)
{
    const char *status = account_status_name(account->status);
    char uuid[UUID_TEXT_BYTES + 1];
    char at[INSTANT_TEXT_MAX];
    int64_t next_us = 0;
    points_t expiring = 0;

    for (uint32_t i = 0; i < account->lot_count; i++) {
        const lot_t *lot = &account->lots[i];

        if (lot->expires_us == 0 || lot->active == 0)
            continue;
        if (next_us == 0 || lot->expires_us < next_us) {
            next_us = lot->expires_us;
            expiring = 0;
        }
        if (lot->expires_us == next_us)
            expiring += lot->active;
    }
    uuid_format(&account->customer, uuid);
    put_id(out, "{\"id\":", account->id);
    put_text(out, ",\"customer_id\":", text_of(uuid));
    put(out, ",\"program\":", account->program);
    if (account->tier != 0 && catalogue_tier(catalogue, CATALOGUE_NEWEST, account->tier) != NULL)
        put(out, ",\"tier\":", account->tier);
    else
        buffer_text(out, ",\"tier\":null");
    put_text(out, ",\"status\":", text_of(status != NULL ? status : "unknown"));
    put(out, ",\"points_balance\":", account->available);
    put(out, ",\"lifetime_points_earned\":", account->earned);
    put(out, ",\"lifetime_points_redeemed\":", account->redeemed);
    if (next_us != 0) {
        put(out, ",\"expiring_points\":", expiring);
        (void)instant_format(next_us, at);
        put_text(out, ",\"next_expiry_at\":", text_of(at));
    } else {
        buffer_text(out, ",\"expiring_points\":null,\"next_expiry_at\":null");
    }
    put(out, ",\"pending_points\":", account->pending);
    put(out, ",\"held_points\":", account->held);
    put(out, ",\"debt_points\":", account->debt);
    (void)instant_format(account->created_us, at);
    put_text(out, ",\"created_at\":", text_of(at));
    (void)instant_format(account->updated_us, at);
    put_text(out, ",\"updated_at\":", text_of(at));
    buffer_byte(out, '}');
}

void render_entry(const entry_t *entry, buffer_t *out)
{
    const char *type = entry_type_name(entry->type);
    char at[INSTANT_TEXT_MAX];

    put_id(out, "{\"id\":", entry->id);
    put_id(out, ",\"account\":", entry->account);
    put(out, ",\"amount\":", entry->amount);
    put_text(out, ",\"transaction_type\":", text_of(type != NULL ? type : "unknown"));
    put_text(out, ",\"description\":", entry->description);
    (void)instant_format(entry->effective_us, at);
    put_text(out, ",\"created_at\":", text_of(at));
    (void)instant_format(entry->recorded_us, at);
    put_text(out, ",\"recorded_at\":", text_of(at));
    buffer_text(out, ",\"metadata\":");
    if (entry->metadata.n > 0)
        buffer_append(out, entry->metadata.bytes, entry->metadata.n);
    else
        buffer_text(out, "{}");
    put(out, ",\"delta\":", entry->delta);
    put(out, ",\"balance_after\":", entry->balance_after);
    put_text(out, ",\"reference\":", entry->reference);
    if (entry->expires_us != 0) {
        (void)instant_format(entry->expires_us, at);
        put_text(out, ",\"expires_at\":", text_of(at));
    } else {
        buffer_text(out, ",\"expires_at\":null");
    }
    buffer_byte(out, '}');
}

static void put(buffer_t *out, const char *before, int64_t value)
{
    buffer_text(out, before);
    json_write_i64(out, value);
}

/* Ids stay below 2^53. */
static void put_id(buffer_t *out, const char *before, uint64_t id)
{
    put(out, before, (int64_t)id);
}

static void put_text(buffer_t *out, const char *before, text_t text)
{
    buffer_text(out, before);
    json_write_string(out, text.n > 0 ? text.bytes : "", text.n);
}

static void put_text_or_null(buffer_t *out, const char *before, text_t text)
{
    if (text.n > 0) {
        put_text(out, before, text);
        return;
    }
    buffer_text(out, before);
    buffer_text(out, "null");
}

/* Millionths as the shortest decimal: 1250000 -> 1.25. */
static void put_ppm(buffer_t *out, const char *before, int64_t ppm)
{
    char digits[8];
    int n = 6;
    uint64_t magnitude = ppm < 0 ? (uint64_t)0 - (uint64_t)ppm : (uint64_t)ppm;
    uint64_t fraction = magnitude % PPM_ONE;

    buffer_text(out, before);
    if (ppm < 0)
        buffer_byte(out, '-');
    json_write_i64(out, (int64_t)(magnitude / PPM_ONE));
    if (fraction == 0)
        return;
    for (int i = 5; i >= 0; i--) {
        digits[i] = (char)('0' + fraction % 10);
        fraction /= 10;
    }
    while (digits[n - 1] == '0')
        n--;
    buffer_byte(out, '.');
    buffer_append(out, digits, (size_t)n);
}

/* Texts separated by line feeds, as an array. */
static void put_lines(buffer_t *out, const char *before, text_t lines)
{
    bool first = true;

    buffer_text(out, before);
    buffer_byte(out, '[');
    while (lines.n > 0) {
        text_t line = first_line(lines);

        if (!first)
            buffer_byte(out, ',');
        first = false;
        json_write_string(out, line.bytes, line.n);
        lines.bytes += line.n;
        lines.n -= line.n;
        if (lines.n > 0) {
            lines.bytes++;
            lines.n--;
        }
    }
    buffer_byte(out, ']');
}

static text_t first_line(text_t lines)
{
    const char *end = lines.n > 0 ? memchr(lines.bytes, '\n', lines.n) : NULL;

    return end != NULL ? (text_t){lines.bytes, (size_t)(end - lines.bytes)} : lines;
}
