/* chart.c - lays out and writes SVG; no fonts or scripts from elsewhere */
#include "bench/chart.h"

#include "bench/pick.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH            880.0
#define HEIGHT           460.0
#define LEFT             70.0
#define RIGHT            210.0 /* room for the labels at the lines' ends */
#define TOP              78.0
#define BOTTOM           60.0
#define POINTS_MAX       64
#define LABEL_GAP        34.0
#define LABEL_CHARACTERS 26 /* that fit into the right margin */
#define LABEL_BYTES      (LABEL_CHARACTERS * 4 + 4)
#define BAR_HEIGHT       26.0
#define BAR_GAP          14.0

/* Told apart also without colour vision (after Okabe and Ito). */
static const char *const colours[CHART_SERIES_MAX] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                      "#7a5cc0", "#b8860b", "#56a0c9", "#444444"};

typedef struct {
    char label[LABEL_BYTES];
    char detail[64];
    double percents[POINTS_MAX];
    double milliseconds[POINTS_MAX];
    unsigned points;
    double label_y;
} series_t;

static bool series_read(series_t *self, const chart_result_t *result, problem_t *problem);
static void draw_begin(FILE *out, double width, double height, const char *title);
static void draw_axes(FILE *out, double low, double high, double nines);
static void draw_series(FILE *out, const series_t *series, const char *colour, double low,
                        double high, double nines);
static void place_labels(series_t *series, unsigned count, double low, double high);
static double x_of(double percent, double nines);
static double y_of(double milliseconds, double low, double high);
static void put_text(FILE *out, const char *text);
static void value_text(double value, char *out, size_t room);
static void label_text(const pick_t *text, char out[LABEL_BYTES]);
static void time_text(double milliseconds, char *out, size_t room);
static bool finish(FILE *out, const char *path, problem_t *problem);

bool chart_latency(const char *path, const chart_result_t *results, unsigned count,
                   problem_t *problem)
{
    series_t *series = NULL;
    FILE *out = NULL;
    double least = INFINITY;
    double most = 0.0;
    double nines = 1.0;
    bool done = false;

    if (count == 0 || count > CHART_SERIES_MAX)
        return problem_set(problem, "a chart shows 1 to %d results, not %u", CHART_SERIES_MAX,
                           count);
    series = calloc(count, sizeof(*series));
    if (series == NULL)
        return problem_set(problem, "no memory for the chart");
    for (unsigned i = 0; i < count; i++) {
        if (!series_read(&series[i], &results[i], problem))
            goto cleanup;
        for (unsigned p = 0; p < series[i].points; p++) {
            least = fmin(least, series[i].milliseconds[p]);
            most = fmax(most, series[i].milliseconds[p]);
            nines = fmax(nines, -log10(1.0 - series[i].percents[p] / 100.0));
        }
    }
    /* Whole 1-2-5 steps around the values, at least one power of ten in between. */
    double low = pow(10.0, floor(log10(fmax(least, 1e-4))));
    double high = pow(10.0, ceil(log10(fmax(most, low * 1.01))));
    if (least >= 5.0 * low)
        low *= 5.0;
    else if (least >= 2.0 * low)
        low *= 2.0;
    if (most <= high / 5.0)
        high /= 5.0;
    else if (most <= high / 2.0)
        high /= 2.0;
    if (high < low * 4.0)
        high = low * 4.0;

    out = fopen(path, "we");
    if (out == NULL) {
        problem_set(problem, "cannot write %s: %s", path, strerror(errno));
        goto cleanup;
    }
    draw_begin(out, WIDTH, HEIGHT, "Latency by percentile");
    fprintf(
        out,
        "<text x=\"%.0f\" y=\"56\" class=\"soft\">the share of requests on the horizontal axis was "
        "answered within the time on the vertical one</text>\n",
        LEFT);
    draw_axes(out, low, high, nines);
    place_labels(series, count, low, high);
    for (unsigned i = 0; i < count; i++)
        draw_series(out, &series[i], colours[i], low, high, nines);
    done = finish(out, path, problem);
    out = NULL;

cleanup:
    if (out != NULL)
        fclose(out);
    free(series);
    return done;
}

bool chart_bars(const char *path, const char *title, const chart_bar_t *bars, unsigned count,
                problem_t *problem)
{
    double most = 0.0;
    double height = TOP + (BAR_HEIGHT + BAR_GAP) * count + 20.0;
    double label_width = 300.0;
    double room = WIDTH - label_width - 120.0;
    bool marked = false;
    FILE *out = NULL;

    if (count == 0 || count > CHART_BARS_MAX)
        return problem_set(problem, "a chart shows 1 to %d bars, not %u", CHART_BARS_MAX, count);
    for (unsigned i = 0; i < count; i++) {
        most = fmax(most, fmax(bars[i].value, bars[i].target));
        marked = marked || bars[i].target > 0.0;
    }
    if (most <= 0.0)
        return problem_set(problem, "there is no value above zero to draw");
    out = fopen(path, "we");
    if (out == NULL)
        return problem_set(problem, "cannot write %s: %s", path, strerror(errno));
    draw_begin(out, WIDTH, height, title);
    if (marked)
        fprintf(out,
                "<text x=\"%.0f\" y=\"56\" class=\"soft\">the dark mark is what must be reached; "
                "orange is below it</text>\n",
                LEFT);
    for (unsigned i = 0; i < count; i++) {
        double y = TOP + (BAR_HEIGHT + BAR_GAP) * i;
        double width = fmax(bars[i].value, 0.0) / most * room;
        char value[32];

        value_text(bars[i].value, value, sizeof(value));
        fprintf(out, "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\">", label_width - 10.0,
                y + BAR_HEIGHT * 0.68);
        put_text(out, bars[i].label);
        fprintf(out,
                "</text>\n<rect x=\"%.0f\" y=\"%.1f\" width=\"%.1f\" height=\"%.0f\" rx=\"3\" "
                "fill=\"%s\"/>\n",
                label_width, y, fmax(width, 1.0), BAR_HEIGHT,
                bars[i].target > bars[i].value ? colours[1] : colours[0]);
        double after = label_width + width;
        if (bars[i].target > 0.0) {
            double x = label_width + bars[i].target / most * room;
            fprintf(out,
                    "<rect x=\"%.1f\" y=\"%.1f\" width=\"3\" height=\"%.0f\" fill=\"#222\"/>\n",
                    x - 1.5, y - 4.0, BAR_HEIGHT + 8.0);
            if (x > after - 2.0 && x < after + 60.0)
                after = x;
        }
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"strong\">%s</text>\n", after + 10.0,
                y + BAR_HEIGHT * 0.68, value);
    }
    return finish(out, path, problem);
}

static bool series_read(series_t *self, const chart_result_t *result, problem_t *problem)
{
    pick_t value;
    pick_t curve;
    pick_t pair;
    double rate = 0.0;
    double p99 = 0.0;
    char rate_text[32];
    char p99_text[24];
    size_t at = 0;

    bool good = pick_member(result->text, result->bytes, "curve", &curve);
    while (good && self->points < POINTS_MAX && pick_element(&curve, &at, &pair)) {
        size_t inner = 0;
        pick_t percent;
        pick_t time;
        good = pick_element(&pair, &inner, &percent) && pick_element(&pair, &inner, &time) &&
               pick_number(&percent, &self->percents[self->points]) &&
               pick_number(&time, &self->milliseconds[self->points]) &&
               self->percents[self->points] >= 50.0 && self->percents[self->points] < 100.0;
        self->milliseconds[self->points] = fmax(self->milliseconds[self->points], 1e-4);
        self->points += good;
    }
    if (good && pick_member(result->text, result->bytes, "label", &value) && value.quoted)
        label_text(&value, self->label);
    if (good && pick_member(result->text, result->bytes, "operations_per_s", &value))
        pick_number(&value, &rate);
    if (good && pick_member(result->text, result->bytes, "p99_ms", &value))
        pick_number(&value, &p99);
    time_text(p99, p99_text, sizeof(p99_text));
    value_text(rate, rate_text, sizeof(rate_text));
    snprintf(self->detail, sizeof(self->detail), "%s/s, p99 %s", rate_text, p99_text);
    if (!good || self->points < 2)
        return problem_set(problem, "%s holds no result with successful requests", result->name);
    return true;
}

static void draw_begin(FILE *out, double width, double height, const char *title)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" "
            "height=\"%.0f\" role=\"img\">\n<title>",
            width, height, width, height);
    put_text(out, title);
    fprintf(out,
            "</title>\n<style>text{font:13px system-ui,-apple-system,'Segoe "
            "UI',Roboto,sans-serif;fill:#333}"
            ".title{font-size:18px;font-weight:600;fill:#111}.soft{fill:#777;font-size:12px}"
            ".strong{font-weight:600}.grid{stroke:#e6e6e6;stroke-width:1}.axis{stroke:#999;stroke-"
            "width:1}"
            "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<text x=\"%.0f\" y=\"36\" class=\"title\">",
            LEFT);
    put_text(out, title);
    fprintf(out, "</text>\n");
}

static void draw_axes(FILE *out, double low, double high, double nines)
{
    static const double marks[] = {50.0, 90.0, 99.0, 99.9, 99.99, 99.999};
    static const double steps[] = {1.0, 2.0, 5.0};
    double bottom = HEIGHT - BOTTOM;

    for (double power = pow(10.0, floor(log10(low) + 1e-9)); power <= high * 1.001; power *= 10.0)
        for (size_t i = 0; i < COUNT_OF(steps); i++) {
            double value = power * steps[i];
            char text[32];
            if (value < low * 0.999 || value > high * 1.001)
                continue;
            double y = y_of(value, low, high);
            time_text(value, text, sizeof(text));
            fprintf(out, "<line x1=\"%.0f\" y1=\"%.1f\" x2=\"%.0f\" y2=\"%.1f\" class=\"grid\"/>",
                    LEFT, y, WIDTH - RIGHT, y);
            fprintf(out,
                    "<text x=\"%.0f\" y=\"%.1f\" text-anchor=\"end\" class=\"soft\">%s</text>\n",
                    LEFT - 8.0, y + 4.0, text);
        }
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        if (-log10(1.0 - marks[i] / 100.0) > nines + 1e-6)
            continue;
        double x = x_of(marks[i], nines);
        fprintf(out, "<line x1=\"%.1f\" y1=\"%.0f\" x2=\"%.1f\" y2=\"%.0f\" class=\"grid\"/>", x,
                TOP, x, bottom);
        fprintf(
            out,
            "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\" class=\"soft\">%.6g %%</text>\n", x,
            bottom + 20.0, marks[i]);
    }
    fprintf(out, "<line x1=\"%.0f\" y1=\"%.0f\" x2=\"%.0f\" y2=\"%.0f\" class=\"axis\"/>\n", LEFT,
            bottom, WIDTH - RIGHT, bottom);
    fprintf(out,
            "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\" class=\"soft\">percentile</text>\n",
            (LEFT + WIDTH - RIGHT) / 2.0, bottom + 42.0);
}

static void draw_series(FILE *out, const series_t *series, const char *colour, double low,
                        double high, double nines)
{
    double x = 0.0;
    double y = 0.0;

    fprintf(out,
            "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2.5\" stroke-linejoin=\"round\" "
            "points=\"",
            colour);
    for (unsigned i = 0; i < series->points; i++) {
        x = x_of(series->percents[i], nines);
        y = y_of(series->milliseconds[i], low, high);
        fprintf(out, "%.1f,%.1f ", x, y);
    }
    fprintf(out, "\"/>\n<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>", x, y, colour);
    fprintf(
        out,
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"1\" "
        "stroke-dasharray=\"2 3\"/>\n",
        x + 4.0, y, WIDTH - RIGHT + 14.0, series->label_y - 4.0, colour);
    fprintf(out, "<text x=\"%.0f\" y=\"%.1f\" class=\"strong\" style=\"fill:%s\">",
            WIDTH - RIGHT + 18.0, series->label_y, colour);
    put_text(out, series->label);
    fprintf(out, "</text><text x=\"%.0f\" y=\"%.1f\" class=\"soft\">", WIDTH - RIGHT + 18.0,
            series->label_y + 15.0);
    put_text(out, series->detail);
    fprintf(out, "</text>\n");
}

/* Labels stand level with their lines' ends; from top to bottom each is pushed clear of the one
 * above, and all move up again when the last one would leave the picture. */
static void place_labels(series_t *series, unsigned count, double low, double high)
{
    unsigned order[CHART_SERIES_MAX];
    double lowest = HEIGHT - BOTTOM - 10.0;

    for (unsigned i = 0; i < count; i++) {
        series[i].label_y = y_of(series[i].milliseconds[series[i].points - 1], low, high) + 4.0;
        unsigned at = i;
        for (; at > 0 && series[order[at - 1]].label_y > series[i].label_y; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (unsigned i = 1; i < count; i++)
        series[order[i]].label_y =
            fmax(series[order[i]].label_y, series[order[i - 1]].label_y + LABEL_GAP);
    for (unsigned i = count; i > 0; i--) {
        series[order[i - 1]].label_y = fmin(series[order[i - 1]].label_y, lowest);
        lowest = series[order[i - 1]].label_y - LABEL_GAP;
    }
}

static double x_of(double percent, double nines)
{
    double from = log10(2.0); /* the median: what lies before it tells nothing about waiting */

    return LEFT + (-log10(1.0 - percent / 100.0) - from) / (nines - from) * (WIDTH - LEFT - RIGHT);
}

static double y_of(double milliseconds, double low, double high)
{
    return HEIGHT - BOTTOM - log(milliseconds / low) / log(high / low) * (HEIGHT - TOP - BOTTOM);
}

static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        default:
            if ((unsigned char)*text >= 0x20)
                fputc(*text, out);
        }
}

/* 1234567 -> 1,234,567; small values keep two decimals */
static void value_text(double value, char *out, size_t room)
{
    char digits[32];
    size_t at = 0;

    if (fabs(value) < 100.0) {
        snprintf(out, room, "%.2f", value);
        return;
    }
    int n = snprintf(digits, sizeof(digits), "%.0f", value);
    for (int i = 0; i < n && at + 2 < room; i++) {
        if (i > 0 && (n - i) % 3 == 0 && digits[i - 1] != '-')
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

/* Cut between characters, not inside one. */
static void label_text(const pick_t *text, char out[LABEL_BYTES])
{
    unsigned characters = 0;
    size_t at = 0;

    for (; at < text->bytes && at < LABEL_BYTES - 4; at++) {
        bool begins = ((unsigned char)text->text[at] & 0xC0) != 0x80;
        if (begins && characters++ == LABEL_CHARACTERS) {
            memcpy(out + at, "\xE2\x80\xA6", 4); /* an ellipsis and the NUL */
            return;
        }
        out[at] = text->text[at];
    }
    out[at] = '\0';
}

static void time_text(double milliseconds, char *out, size_t room)
{
    bool seconds = milliseconds >= 999.5;

    snprintf(out, room, "%.3g %s", seconds ? milliseconds / 1000.0 : milliseconds,
             seconds ? "s" : "ms");
}

static bool finish(FILE *out, const char *path, problem_t *problem)
{
    fprintf(out, "</svg>\n");
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        return problem_set(problem, "cannot write %s: %s", path, strerror(errno));
    return true;
}
