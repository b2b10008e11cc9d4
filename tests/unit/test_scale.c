/* test_scale.c - a cluster without load, in virtual time: what its members do to each other */
#include "protocol/log.h"
#include "tests/sim/scale.h"

#include <criterion/criterion.h>

Test(scale, a_cluster_is_served_within_its_promises_when_nodes_die_leave_and_return, .timeout = 60)
{
    scale_report_t report, again;
    err_t err;

    log_configure((log_level_t)(LOG_ERROR + 1), false);
    cr_assert(scale_run(1, 7, 48, 1, &report, &err), "%s", err.text);
    const scale_row_t *rows = report.rows;
    cr_assert_eq(rows[SCALE_AT_REST].log_records, 0);
    cr_assert_eq(rows[SCALE_AT_REST].views, 0);
    cr_assert_eq(rows[SCALE_AT_REST].moved, 0);
    cr_assert_leq(rows[SCALE_AT_REST].heartbeats, 7 * 61);
    cr_assert_gt(rows[SCALE_KILLED].moved, 0);
    cr_assert_lt(rows[SCALE_KILLED].gap_most_us, 5000000);
    for (int i = SCALE_BACK; i < SCALE__COUNT; i++) {
        cr_assert_gt(rows[i].moved, 0, "%s", rows[i].name);
        cr_assert_lt(rows[i].gap_most_us, 200000, "%s", rows[i].name);
    }
    for (int i = 0; i < SCALE__COUNT; i++)
        cr_assert_leq(rows[i].most - rows[i].least, 3, "%s", rows[i].name);
    cr_assert(scale_run(1, 7, 48, 1, &again, &err), "%s", err.text);
    cr_assert_eq(report.digest, again.digest);
}
