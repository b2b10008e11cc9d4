/* tool_cluster.c - `fealty cluster`, `fealty partition`: an operator's words to a running node on Kafka */
#include "node/tools.h"

#include "node/control.h"
#include "node/options.h"

#include "protocol/clock.h"
#include "protocol/ids.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define ORDER_TIMEOUT_MS 10000
#define MOVE_WAIT_US     INT64_C(60000000)
#define LOOK_NS          20000000
#define SAY_WAIT_US      INT64_C(10000000)
#define SAY_AGAIN_NS     200000000
#define ORDER_BYTES      1024
#define ANSWER_MAX       ((size_t)8 * 1024 * 1024)

static const char cluster_usage[] =
    "usage: fealty cluster [--data DIR] status\n"
    "       fealty cluster [--data DIR] drain|admit|forget MEMBER\n"
    "       fealty cluster [--data DIR] move PARTITION MEMBER\n"
    "\n"
    "DIR is the data directory of any running node of the cluster; MEMBER is an address or the "
    "first digits of a\n"
    "node id, as `status` shows them.\n"
    "\n"
    "  status   members, who is alive, and who owns and follows each partition, as JSON\n"
    "  drain    moves all partitions of a member to others, one by one and without losing a "
    "request; it stays a\n"
    "           member and may be stopped then, for an upgrade or for good\n"
    "  admit    gives a drained member its share again\n"
    "  forget   takes a member that is gone for good out of the cluster; others follow its "
    "partitions instead.\n"
    "           A living member is not forgotten\n"
    "  move     gives one partition to a member, without losing a request, and keeps it there "
    "until it is moved\n"
    "           again or that member is drained or forgotten; waits until it is there\n";

static const char partition_usage[] =
    "usage: fealty partition [--data DIR] status\n"
    "       fealty partition [--data DIR] resume NUMBER\n"
    "       fealty partition [--data DIR] rebuild NUMBER\n"
    "       fealty partition [--data DIR] skip NUMBER OFFSET CRC --reason TEXT\n"
    "       fealty partition [--data DIR] adopt NUMBER --reason TEXT\n"
    "\n"
    "About the copies that the running node with the data directory DIR keeps, on Kafka.\n"
    "\n"
    "  status   what each copy is doing, how far it has read, and what troubles it, as JSON\n"
    "  resume   a copy that halted reads on from the last record that it applied; it halts again "
    "when the\n"
    "           cause is still there\n"
    "  rebuild  empties the copy and fills it from another node, or from the log; the others serve "
    "meanwhile\n"
    "  skip     the record at which the copy here is halted, as `status` shows it, is nothing from "
    "now on, for every\n"
    "           node and for ever; TEXT says why, `status` shows it. For a record that halts "
    "everybody: while another\n"
    "           node reads on, the copy here is at fault. What the record said is lost\n"
    "  adopt    the log of the partition is lost, and its copies are halted: the one here is the "
    "partition's new history\n"
    "           from now on, for every node and for ever; all others are filled from here. What "
    "only they, or only the log,\n"
    "           held is lost: adopt the copy that has read furthest\n";

/* `out` gets what the node has to show; NULL: it is printed. */
static errcode_t tell(const char *data, const char *order, buffer_t *out, err_t *err)
{
    int fd = -1;
    buffer_t answer;
    errcode_t rc = control_connect(data, &fd, err);

    if (rc == ERR_NONE && fd < 0)
        rc = err_set(err, ERR_STATE, "no node runs on %s: name the data directory of one that does",
                     data);
    if (rc != ERR_NONE)
        return rc;
    buffer_init(&answer, ANSWER_MAX);
    rc = control_ask(fd, order, ORDER_TIMEOUT_MS, &answer, err);
    if (rc == ERR_NONE && out != NULL)
        buffer_append(out, answer.bytes, answer.size);
    else if (rc == ERR_NONE)
        (void)fwrite(answer.bytes, 1, answer.size, stdout);
    buffer_free(&answer);
    (void)close(fd);
    return rc;
}

static int say_failed(const char *tool, const err_t *err)
{
    (void)fprintf(stderr, "fealty %s: %s\n", tool, err->text);
    return err->code == ERR_IO ? EXIT_IO : EXIT_REFUSED;
}

/* The node answers with the address of where it goes; then it is asked until that one owns it. */
static int move(const char *data, const char *partition, const char *member)
{
    const clock_source_t *clock = clock_system();
    const struct timespec moment = {.tv_nsec = LOOK_NS};
    int64_t began_us = clock_boot_us(clock);
    char order[512];
    buffer_t target, holder;
    err_t err = {0};
    int exit_code = 0;

    buffer_init(&target, ANSWER_MAX);
    buffer_init(&holder, ANSWER_MAX);
    int n = snprintf(order, sizeof order, "cluster move %s %s", partition, member);
    if (n < 0 || (size_t)n >= sizeof order)
        err_set(&err, ERR_INVALID, "that is no partition or no member's name");
    else
        (void)tell(data, order, &target, &err);
    (void)snprintf(order, sizeof order, "cluster holder %.100s", partition);
    while (err.code == ERR_NONE) {
        buffer_reset(&holder);
        if (tell(data, order, &holder, &err) != ERR_NONE)
            break;
        double seconds = (double)(clock_boot_us(clock) - began_us) / 1e6;
        if (holder.size == target.size && memcmp(holder.bytes, target.bytes, target.size) == 0) {
            (void)printf("Partition %s is owned by %.*s after %.2f s.\n", partition,
                         (int)target.size - 1, (const char *)target.bytes, seconds);
            break;
        }
        if (seconds * 1e6 > (double)MOVE_WAIT_US) {
            err_set(&err, ERR_IN_PROGRESS,
                    "after %.0f s it is not there yet: it follows as soon as that member has read "
                    "enough; see `fealty cluster status`",
                    seconds);
            break;
        }
        (void)nanosleep(&moment, NULL);
    }
    if (err.code != ERR_NONE)
        exit_code = say_failed("cluster", &err);
    buffer_free(&target);
    buffer_free(&holder);
    return exit_code;
}

int tool_cluster(int argc, char **argv)
{
    const char *data = "data";
    const char *words[3] = {NULL, NULL, NULL};
    size_t count = 0;
    char order[512];
    err_t err = {0};
    const option_t options[] = {{.name = "--data", .text = &data}};

    switch (
        options_parse(argc, argv, options, COUNT_OF(options), words, 1, 3, &count, cluster_usage)) {
    case OPTIONS_HELP: return 0;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_GOOD: break;
    }
    if (strcmp(words[0], "move") == 0 && count == 3)
        return move(data, words[1], words[2]);
    bool status = strcmp(words[0], "status") == 0;
    bool word = strcmp(words[0], "drain") == 0 || strcmp(words[0], "admit") == 0 ||
                strcmp(words[0], "forget") == 0;
    if ((!status && !word) || (status && count != 1) || (word && count != 2)) {
        (void)fputs(cluster_usage, stderr);
        return EXIT_USAGE;
    }
    int n = snprintf(order, sizeof order, "cluster %s%s%s", words[0], word ? " " : "",
                     word ? words[1] : "");
    if (n < 0 || (size_t)n >= sizeof order) {
        (void)fprintf(stderr, "fealty cluster: that is no member's name\n");
        return EXIT_USAGE;
    }
    if (tell(data, order, NULL, &err) != ERR_NONE)
        return say_failed("cluster", &err);
    if (word)
        (void)printf("Done: the next view says so. `fealty cluster status` shows the moves.\n");
    return 0;
}

/* Said until the node has read it in the log: what is written there may be lost on its way. true: it has. */
static bool say_until_known(const char *data, const char *order, err_t *err)
{
    const clock_source_t *clock = clock_system();
    const struct timespec moment = {.tv_nsec = SAY_AGAIN_NS};
    int64_t began_us = clock_boot_us(clock);
    buffer_t answer;
    bool known = false;

    buffer_init(&answer, ANSWER_MAX);
    while (!known && tell(data, order, &answer, err) == ERR_NONE) {
        known = answer.size == 6 && memcmp(answer.bytes, "known\n", 6) == 0;
        buffer_reset(&answer);
        if (known)
            break;
        if (clock_boot_us(clock) - began_us > SAY_WAIT_US) {
            err_set(err, ERR_UNKNOWN_OUTCOME,
                    "the log did not answer in time: say it again, or see whether `fealty "
                    "partition status` lists it");
            break;
        }
        (void)nanosleep(&moment, NULL);
    }
    buffer_free(&answer);
    return known;
}

static bool make_order(char *out, size_t size, err_t *err, const char *format, ...)
    PRINTF_LIKE(4, 5);

/* One line, which ends with a reason. */
static bool make_order(char *out, size_t size, err_t *err, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int n = vsnprintf(out, size, format, arguments);
    va_end(arguments);
    if (n >= 0 && (size_t)n < size && strpbrk(out, "\r\n") == NULL)
        return true;
    err_set(err, ERR_INVALID, "a reason is one line of at most 200 characters");
    return false;
}

static int skip(const char *data, const char *const words[4], const char *reason)
{
    char order[ORDER_BYTES];
    err_t err = {0};

    if (!make_order(order, sizeof order, &err, "cluster partition skip %s %s %s %s", words[1],
                    words[2], words[3], reason) ||
        !say_until_known(data, order, &err))
        return say_failed("partition", &err);
    (void)printf("The record at offset %s of partition %s is skipped by every node; `fealty "
                 "partition status` shows how it goes on.\n",
                 words[2], words[1]);
    return 0;
}

static int adopt(const char *data, const char *partition, const char *reason)
{
    char order[ORDER_BYTES], history[2 * HASH_BYTES + 1];
    uint8_t random[HASH_BYTES];
    err_t err = {0};

    random_fill(random_system(), random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(history + 2 * i, 3, "%02x", random[i]);
    if (!make_order(order, sizeof order, &err, "cluster partition adopt %s %s %s", partition,
                    history, reason) ||
        !say_until_known(data, order, &err))
        return say_failed("partition", &err);
    (void)printf("The copy of partition %s here is its new history; `fealty partition status` "
                 "shows how it goes on.\n",
                 partition);
    return 0;
}

int tool_partition(int argc, char **argv)
{
    const char *data = "data", *reason = NULL;
    const char *words[4] = {NULL, NULL, NULL, NULL};
    size_t count = 0;
    char order[128];
    err_t err = {0};
    const option_t options[] = {{.name = "--data", .text = &data},
                                {.name = "--reason", .text = &reason}};

    switch (options_parse(argc, argv, options, COUNT_OF(options), words, 1, 4, &count,
                          partition_usage)) {
    case OPTIONS_HELP: return 0;
    case OPTIONS_WRONG: return EXIT_USAGE;
    case OPTIONS_GOOD: break;
    }
    if (strcmp(words[0], "skip") == 0 && count == 4 && reason != NULL)
        return skip(data, words, reason);
    if (strcmp(words[0], "adopt") == 0 && count == 2 && reason != NULL)
        return adopt(data, words[1], reason);
    bool status = strcmp(words[0], "status") == 0 && count == 1;
    bool word = (strcmp(words[0], "resume") == 0 || strcmp(words[0], "rebuild") == 0) && count == 2;
    int n = snprintf(order, sizeof order, "cluster partition %s%s%s", words[0], word ? " " : "",
                     word ? words[1] : "");
    if ((!status && !word) || reason != NULL || n < 0 || (size_t)n >= sizeof order) {
        (void)fputs(partition_usage, stderr);
        return EXIT_USAGE;
    }
    if (tell(data, order, NULL, &err) != ERR_NONE)
        return say_failed("partition", &err);
    if (word)
        (void)printf("Done; `fealty partition status` shows how it goes on.\n");
    return 0;
}
